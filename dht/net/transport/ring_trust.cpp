// Certificates against the members table, and which sockets get TLS.
#include "dht/net/transport/ring_trust.hpp"

#include <algorithm>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <cerrno>

#include "dht/net/sockets/dial.hpp"
#include "dht/net/transport/system_clock.hpp"
#include "dht/net/transport/tls_stream.hpp"
#include "dht/net/trust/authority_rows.hpp"

namespace ringfs::dht {

namespace {

using boost::asio::ip::tcp;

using Fault = CertificateFault;
using Known = tl::expected<KnownPeer, Denial>;

tl::unexpected<Error> refused(std::string words) { return fail(ErrorCode::access_denied, std::move(words)); }

tl::unexpected<Denial> denied(Fault fault, std::string words, ErrorCode code = ErrorCode::access_denied) {
  return tl::unexpected<Denial>(Denial{{code, std::move(words)}, RefusalReason::certificate, fault});
}
tl::unexpected<Denial> denied(Fault fault, Refusal reason) { return denied(fault, std::string(to_string(reason))); }

Known known_node(const MembersTable& table, const Identity& identity, const KeyHash& key) {
  const Member* member = table.find(identity.node);
  const std::string who = "node " + identity.node.text();
  if (member == nullptr) return denied(Fault::unknown, who + " is not a member of this ring");
  if (member->state == MemberState::removed)
    return denied(Fault::removed, who + " was removed from this ring", ErrorCode::removed);
  if (member->key != key) return denied(Fault::unknown, "its key is not the one of " + who);
  return KnownPeer{identity, AccessRole::node};
}

Fault fault_of(Refusal reason) {
  switch (reason) {
    case Refusal::foreign_ring: return Fault::other_ring;
    case Refusal::not_yet_valid: return Fault::not_yet_valid;
    case Refusal::expired: return Fault::expired;
    case Refusal::foreign_authority:
    case Refusal::no_identity: break;
  }
  return Fault::unknown;
}

// With any key.
tl::expected<const Client*, Denial> client_named(const MembersTable& table, const std::string& name) {
  const Client* client = table.find_client(name);
  if (client == nullptr) return denied(Fault::unknown, "client " + name + " is not known to this ring");
  if (client->revoked) return denied(Fault::revoked, "client " + name + " was revoked");
  return client;
}

Known known_client(const MembersTable& table, const Identity& identity, const KeyHash& key) {
  const tl::expected<const Client*, Denial> client = client_named(table, identity.name);
  if (!client) return tl::unexpected(client.error());
  if ((*client)->key != key) return denied(Fault::unknown, "its key is not the one of client " + identity.name);
  return KnownPeer{identity, (*client)->role};
}

// What a connection is that may not leave this machine in plain text.
class RefusedStream : public Stream {
 public:
  RefusedStream(Socket socket, Error why) : socket_(std::move(socket)), why_(std::move(why)) {}
  IoResult read_some(char*, std::size_t) override { return {IoResult::State::failed, 0, EACCES}; }
  IoResult write_some(std::span<const iovec>) override { return {IoResult::State::failed, 0, EACCES}; }
  // Never from inside: whoever waits is not prepared for the end yet.
  void wait_readable(Ready ready) override { boost::asio::post(socket_.get_executor(), std::move(ready)); }
  void wait_writable(Ready ready) override { boost::asio::post(socket_.get_executor(), std::move(ready)); }
  void close() override {
    boost::system::error_code ignored;  // closing has no failure that anybody could act on
    socket_.close(ignored);
  }
  std::optional<Error> failure() const override { return why_; }

 private:
  Socket socket_;
  const Error why_;
};

bool is_loopback(const Socket::endpoint_type& endpoint) {
  const std::optional<boost::asio::ip::address> address = address_of(endpoint);
  return !address || address->is_loopback();
}

}  // namespace

bool stays_here(const Socket& socket) {
  boost::system::error_code error;
  const Socket::endpoint_type local = socket.local_endpoint(error);
  // A socket that is gone already has no address; what is made of it fails by itself.
  if (error || local.protocol().family() == AF_UNIX) return true;
  if (!is_loopback(local)) return false;
  const Socket::endpoint_type remote = socket.remote_endpoint(error);
  return error || is_loopback(remote);
}

Result<std::shared_ptr<RingTrust>> RingTrust::make(const Uuid& ring, Credentials own,
                                                   std::vector<Certificate> authorities, Issuer issuer) {
  std::shared_ptr<RingTrust> trust(new RingTrust(ring, own, issuer));
  trust->now_ = wall_time;
  trust->table_ = [] { return nullptr; };
  if (Status taken = trust->renew(std::move(own), std::move(authorities)); !taken) return tl::unexpected(taken.error());
  return trust;
}

Status RingTrust::renew(Credentials own, std::vector<Certificate> authorities) {
  Result<std::shared_ptr<const TlsContext>> context = TlsContext::make(own, rpc_tls_protocol);
  if (!context) return tl::unexpected(context.error());
  Result<std::shared_ptr<const TlsContext>> web_context = TlsContext::make(own, "");
  if (!web_context) return tl::unexpected(web_context.error());
  context_ = std::move(*context);
  web_context_ = std::move(*web_context);
  own_ = std::move(own);
  authorities_ = std::move(authorities);
  return {};
}

std::uint64_t RingTrust::table_version() const {
  const MembersTable* table = table_();
  return table == nullptr ? 0 : table->version;
}

Known RingTrust::find(const Certificate& leaf) const {
  const std::optional<Identity> identity = leaf.identity();
  if (!identity) return denied(Fault::unknown, Refusal::no_identity);
  if (identity->ring != ring_) return denied(Fault::other_ring, Refusal::foreign_ring);
  const MembersTable* table = table_();
  // A node that joins tells itself so through its own server, before it has a table.
  const bool own = identity->kind == Identity::Kind::node && leaf.key_hash() == own_.key.public_hash();
  if (table == nullptr && own) return KnownPeer{*identity, AccessRole::node};
  if (table == nullptr) {
    return tl::unexpected<Denial>(
        Denial{{ErrorCode::unavailable, "this node does not know the ring's members yet"}, RefusalReason::cut_off});
  }
  if (now_() < leaf.not_before()) return denied(Fault::not_yet_valid, Refusal::not_yet_valid);
  return identity->kind == Identity::Kind::node ? known_node(*table, *identity, leaf.key_hash())
                                                : known_client(*table, *identity, leaf.key_hash());
}

Known RingTrust::find_signed(const Certificate& leaf, const std::vector<Certificate>& chain) const {
  const tl::expected<Identity, Refusal> identity = verify(leaf, chain, authorities_, {.ring = ring_, .now = now_()});
  if (!identity) return denied(fault_of(identity.error()), identity.error());
  const MembersTable* table = table_();
  if (identity->kind == Identity::Kind::node) {
    const Member* member = table == nullptr ? nullptr : table->find(identity->node);
    if (member != nullptr && member->state == MemberState::removed) {
      return denied(Fault::removed, "node " + identity->node.text() + " was removed from this ring",
                    ErrorCode::removed);
    }
    return KnownPeer{*identity, AccessRole::node};
  }
  if (table == nullptr) {
    return tl::unexpected<Denial>(
        Denial{{ErrorCode::unavailable, "this node does not know the ring's clients yet"}, RefusalReason::cut_off});
  }
  const tl::expected<const Client*, Denial> client = client_named(*table, identity->name);
  if (!client) return tl::unexpected(client.error());
  return KnownPeer{*identity, (*client)->role};
}

Known RingTrust::known(const Certificate& leaf, const std::vector<Certificate>& chain) const {
  if (issuer_ == Issuer::operators) return find_signed(leaf, chain);
  Known peer = find(leaf);
  const bool ends = peer && peer->identity.kind == Identity::Kind::client;
  if (ends && now_() > leaf.not_after())
    return denied(Fault::expired, std::string(to_string(Refusal::expired)) + "; it can be renewed");
  return peer;
}

Status RingTrust::up_to_date() const {
  if (!confirmed_at_ || boot_time() - confirmed_at_() < unheard_limit) return {};
  return fail(ErrorCode::unavailable,
              "this node has not heard from the ring for some 10 seconds, so it cannot say whose certificates still "
              "count: ask another node, or on its own machine");
}

std::vector<Certificate> RingTrust::all_authorities() const {
  std::vector<Certificate> all = authorities_;
  const MembersTable* table = table_();
  if (table == nullptr) return all;
  for (const auto& [hash, pem] : table->authorities) {
    // One that this program cannot read signs nothing that it could check.
    if (Result<Certificate> one = Certificate::from_pem(pem)) all.push_back(std::move(*one));
  }
  return all;
}

bool RingTrust::renewal_is_due() const {
  if (issuer_ == Issuer::operators) return false;
  const Certificate& own = own_.chain.front();
  const Duration life = own.not_after() - own.not_before();
  if (now_() > own.not_before() + life * 2 / 3) return true;
  const MembersTable* table = table_();
  if (table == nullptr) return false;
  return std::any_of(table->authorities.begin(), table->authorities.end(), [this](const auto& one) {
    return std::none_of(authorities_.begin(), authorities_.end(),
                        [&one](const Certificate& authority) { return hash_text(authority.key_hash()) == one.first; });
  });
}

Status RingTrust::check_node(const Certificate& leaf, const std::vector<Certificate>& chain) const {
  if (issuer_ == Issuer::operators) {
    const Result<KnownPeer> peer = find_signed(leaf, chain);
    if (!peer) return tl::unexpected(peer.error());
    return peer->identity.kind == Identity::Kind::node ? Status() : refused("its certificate is not one of a node");
  }
  const std::optional<Identity> claimed = leaf.identity();
  const MembersTable* table = table_();
  const bool named = claimed && claimed->kind == Identity::Kind::node && claimed->ring == ring_ && table != nullptr &&
                     table->find(claimed->node) != nullptr;
  if (named) {
    if (Known peer = find(leaf); !peer) return tl::unexpected<Error>(peer.error());
    return {};
  }
  // It may be newer than this copy of the table: its authority speaks for it.
  const VerifyOptions options{.ring = ring_, .now = now_(), .expiry_counts = false};
  const tl::expected<Identity, Refusal> identity = verify(leaf, chain, authorities_, options);
  if (!identity) return refused(std::string(to_string(identity.error())));
  if (identity->kind != Identity::Kind::node) return refused("its certificate is not one of a node");
  return {};
}

void RingTrust::node_met(const Uuid& node, const boost::asio::ip::address& address) {
  const MembersTable* table = table_();
  if (table == nullptr) return;
  met_[node] = unmapped(address);
  std::erase_if(met_, [table](const auto& one) { return table->find(one.first) == nullptr; });
}

bool RingTrust::is_member_address(const boost::asio::ip::address& address) const {
  const MembersTable* table = table_();
  if (table == nullptr) return false;
  return std::any_of(table->members.begin(), table->members.end(), [this, &address](const Member& member) {
    if (member.state == MemberState::removed) return false;
    const auto met = met_.find(member.id);
    if (met != met_.end() && met->second == address) return true;
    const std::optional<tcp::endpoint> endpoint = numeric_endpoint(member.address);
    return endpoint && endpoint->address() == address;
  });
}

// ---- Streams -------------------------------------------------------------------------------------------------------

StreamMaker refused_streams(const Error& why) {
  return [why](Socket socket) -> std::unique_ptr<Stream> {
    return std::make_unique<RefusedStream>(std::move(socket), why);
  };
}

StreamMaker accepting_tls(std::shared_ptr<const RingTrust> trust) {
  return [trust = std::move(trust)](Socket socket) -> std::unique_ptr<Stream> {
    auto check = [trust](const Certificate& leaf, const std::vector<Certificate>& chain) -> Status {
      if (Known peer = trust->known(leaf, chain); !peer) return tl::unexpected<Error>(peer.error());
      return {};
    };
    return std::make_unique<TlsStream>(
        std::move(socket), std::make_unique<TlsEngine>(trust->context(), TlsEngine::Side::server, std::move(check)));
  };
}

StreamMaker dialling_tls(std::shared_ptr<const RingTrust> trust) {
  return [trust = std::move(trust)](Socket socket) -> std::unique_ptr<Stream> {
    auto check = [trust](const Certificate& leaf, const std::vector<Certificate>& chain) {
      return trust->check_node(leaf, chain);
    };
    return std::make_unique<TlsStream>(
        std::move(socket), std::make_unique<TlsEngine>(trust->context(), TlsEngine::Side::client, std::move(check)));
  };
}

StreamMaker accepting_streams(std::shared_ptr<const RingTrust> trust) {
  const Error without{ErrorCode::access_denied, "this node has no certificate: it serves its own machine only"};
  const StreamMaker tls = trust == nullptr ? refused_streams(without) : accepting_tls(std::move(trust));
  return [tls](Socket socket) {
    return stays_here(socket) ? make_plain_stream(std::move(socket)) : tls(std::move(socket));
  };
}

StreamMaker dialling_streams(std::shared_ptr<const RingTrust> trust) {
  const Error without{ErrorCode::access_denied,
                      "there are no credentials for a ring on other machines: get in with a token"};
  const StreamMaker tls = trust == nullptr ? refused_streams(without) : dialling_tls(std::move(trust));
  return [tls](Socket socket) {
    return stays_here(socket) ? make_plain_stream(std::move(socket)) : tls(std::move(socket));
  };
}

}  // namespace ringfs::dht

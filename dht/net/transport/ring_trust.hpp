// Whom this process takes at the other end of its TLS connections, and what it shows there (docs/security.md).
//
// It holds the process's own credentials and the authorities that it knows, and asks the members table who still
// counts: a certificate counts only while the hash of its key stands there, so that a removed node or a revoked client
// is out with its row, whatever it could have signed. The signature of an authority counts only for nodes that were
// dialled and that this copy of the table does not name, for example because there is none yet.
// Where an operator's own authority issues the certificates, its signature counts for everybody, for as long as the
// certificate says, and the table has no keys: it says who was removed or revoked, and which role a client has.
// Threads: one loop. Errors: access_denied, removed and unavailable, with words for the one who is refused. A renewed
// certificate is used by connections that are made from then on; open ones stay.
#pragma once

#include <boost/asio/ip/address.hpp>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "dht/base/ring/access_role.hpp"
#include "dht/core/protocol/members_table.hpp"
#include "dht/net/sockets/stream.hpp"
#include "dht/net/transport/refusals.hpp"
#include "dht/net/trust/certificate.hpp"
#include "dht/net/trust/tls_context.hpp"

namespace ringfs::dht {

struct KnownPeer {
  Identity identity;
  AccessRole role = AccessRole::reader;
};

// With the interval in which a server looks at its connections (ServerLimits::sweep) less than the 10 s that
// docs/security.md promises.
inline constexpr Duration unheard_limit = std::chrono::seconds(9);

// Who issues the certificates.
enum class Issuer : std::uint8_t { ring, operators };

class RingTrust {
 public:
  using Table = std::function<const MembersTable*()>;  // null: not known yet
  using Now = std::function<Stamp()>;

  // Errors: invalid_argument (the key is not that of the certificate).
  static Result<std::shared_ptr<RingTrust>> make(const Uuid& ring, Credentials own,
                                                 std::vector<Certificate> authorities, Issuer issuer = Issuer::ring);

  void set_table(Table table) { table_ = std::move(table); }
  // When it was last certain that the table is the newest (Node::table_confirmed_at). Without it: always.
  void set_confirmed_at(std::function<TimePoint()> confirmed_at) { confirmed_at_ = std::move(confirmed_at); }
  void set_clock(Now now) { now_ = std::move(now); }
  Status renew(Credentials own, std::vector<Certificate> authorities);

  const Uuid& ring() const { return ring_; }
  Issuer issuer() const { return issuer_; }
  const Credentials& own() const { return own_; }
  const std::vector<Certificate>& authorities() const { return authorities_; }
  // With those that the members table names by now.
  std::vector<Certificate> all_authorities() const;
  std::shared_ptr<const TlsContext> context() const { return context_; }
  std::shared_ptr<const TlsContext> web_context() const { return web_context_; }  // of HTTP, without ALPN
  std::uint64_t table_version() const;

  // Two thirds of the own certificate's life are over, or the ring has an authority that is not known here: it signs
  // from now on. Never where an operator renews.
  bool renewal_is_due() const;

  // A node of the ring has connected from this address.
  void node_met(const Uuid& node, const boost::asio::ip::address& address);
  // Whether a member was last met at this address, or the members table names one there, as a number.
  bool is_member_address(const boost::asio::ip::address& address) const;

  // Of somebody who connects. The chain is what it has sent besides. Errors: in its own words for each reason.
  tl::expected<KnownPeer, Denial> known(const Certificate& leaf, const std::vector<Certificate>& chain) const;
  // Whether a connection of its holder has to end by now, where its end counts on open ones, too.
  bool has_ended(const Certificate& leaf) const { return issuer_ == Issuer::operators && now_() > leaf.not_after(); }
  // Whether the table may be believed now: a node that is cut off from the ring does not hear who was removed or
  // revoked. Errors: unavailable, after unheard_limit.
  Status up_to_date() const;
  // Whether whoever was dialled is a node of the ring.
  Status check_node(const Certificate& leaf, const std::vector<Certificate>& chain) const;

 private:
  RingTrust(const Uuid& ring, Credentials own, Issuer issuer) : ring_(ring), issuer_(issuer), own_(std::move(own)) {}

  tl::expected<KnownPeer, Denial> find(const Certificate& leaf) const;
  tl::expected<KnownPeer, Denial> find_signed(const Certificate& leaf, const std::vector<Certificate>& chain) const;

  const Uuid ring_;
  const Issuer issuer_;
  Credentials own_;
  std::vector<Certificate> authorities_;
  std::shared_ptr<const TlsContext> context_, web_context_;
  Table table_;
  Now now_;
  std::function<TimePoint()> confirmed_at_;
  std::map<Uuid, boost::asio::ip::address> met_;  // members only
};

// Streams of sockets that were accepted or dialled: plain over UNIX sockets and loopback, TLS otherwise; both ends
// decide by the address that was dialled. Without trust nothing leaves this machine: such a stream fails with words.
StreamMaker accepting_streams(std::shared_ptr<const RingTrust> trust);
StreamMaker dialling_streams(std::shared_ptr<const RingTrust> trust);
// The same where it is TLS at any rate.
StreamMaker accepting_tls(std::shared_ptr<const RingTrust> trust);
StreamMaker dialling_tls(std::shared_ptr<const RingTrust> trust);
// Whatever is made of a socket fails with these words.
StreamMaker refused_streams(const Error& why);
// Whether a connection stays on this machine by its addresses.
bool stays_here(const Socket& socket);

}  // namespace ringfs::dht

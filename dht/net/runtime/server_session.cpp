// One accepted connection: its handshake, envelopes, requests and their answers.
#include "dht/net/runtime/server_session.hpp"

#include <spdlog/spdlog.h>

#include "dht/net/runtime/access.hpp"
#include "dht/net/transport/system_clock.hpp"
#include "dht/net/trust/tls_engine.hpp"

namespace ringfs::dht {

namespace {

// Answers up to here still go out when the queue is full: errors and results, not contents.
constexpr std::size_t small_answer_bytes = 4 << 10;

tl::unexpected<Denial> denied(RefusalReason reason, Error why) {
  return tl::unexpected<Denial>(Denial{std::move(why), reason});
}

Denial malformed(Error why) { return {std::move(why), RefusalReason::malformed}; }
Denial malformed(const char* words) { return malformed({ErrorCode::corrupt, words}); }

}  // namespace

Server::Session::Session(Server& server, std::unique_ptr<Stream> stream, std::string peer, LocalPeer user,
                         std::optional<HandshakeShares::Address> share)
    : server_(&server),
      peer_(std::move(peer)),
      user_(stream->tls() == nullptr ? std::move(user) : LocalPeer()),
      share_(std::move(share)),
      accepted_(boot_time()) {
  connection_ = std::make_shared<FrameConnection>(std::move(stream), *this, server.driver_.flusher());
  connection_->set_drain_notice(server.options_.limits.queue_bytes / 2);
}

void Server::Session::start() {
  connection_->start();
  if (Status served = user_.served(); !served) refuse(Denial{served.error(), RefusalReason::user}, true);
}

bool Server::Session::is_late(TimePoint now) const {
  const ServerLimits& limits = server_->options_.limits;
  if (!handshake_done_) return now - accepted_ >= (asked_ ? limits.question : limits.handshake);
  TimePoint since = connection_->partial_since();
  return since != never && !connection_->paused() && now - since >= limits.frame;
}

void Server::Session::refuse_late() {
  const TlsEngine* tls = connection_->stream().tls();
  if (asked_ && !handshake_done_)
    tell_and_end({ErrorCode::timeout, "the ring did not answer in time"});
  else if (tls != nullptr && !tls->established())
    refuse(Denial{{ErrorCode::timeout, "too slow: no TLS handshake in time"}, RefusalReason::handshake}, false);
  else
    refuse(Denial{{ErrorCode::timeout, "too slow: no handshake, or half a frame"}, RefusalReason::slow}, true);
}

// ---- Frames ----------------------------------------------------------------------------------------

void Server::Session::frame_received(FrameConnection&, ReceivedFrame frame) {
  // The session may end in here; it stays alive until this returns.
  std::shared_ptr<Session> self = shared_from_this();
  if (server_ == nullptr) return;
  if (!handshake_done_) {
    if (frame.header.kind == FrameKind::handshake && !asked_) {
      handshake_received(frame);
    } else if (frame.header.kind == FrameKind::join && !asked_) {
      join(frame);
    } else if (frame.header.kind == FrameKind::trust && !asked_) {
      administer(frame);
    } else {
      refuse(malformed("the first frame is not a handshake"), false);
    }
    return;
  }
  bool client = handshake_.role == PeerRole::client;
  if (frame.header.kind == FrameKind::request && client) {
    request(frame);
  } else if (frame.header.kind == FrameKind::release && client) {
    release(frame);
  } else if (frame.header.kind == FrameKind::envelope && !client) {
    envelope(frame);
  } else if (frame.header.kind == FrameKind::error) {
    error_received(frame);
  } else {
    refuse(malformed("a frame that does not belong here"), false);
  }
}

// The other end refuses this one, and ends the connection.
void Server::Session::error_received(const ReceivedFrame& frame) {
  const Result<Error> error = decode_error(frame);
  if (!error) return refuse(malformed(error.error()), false);
  spdlog::info("event=connection_ended_by_peer peer={} reason=\"{}\"", peer_, error->text());
  end();
}

void Server::Session::handshake_received(const ReceivedFrame& frame) {
  Result<Handshake> handshake = decode_handshake(frame);
  if (!handshake) {
    refuse(malformed(handshake.error()), handshake.error().code == ErrorCode::version_mismatch);
    return;
  }
  const Allowed fits = check(*handshake);
  if (!fits) {
    refuse(fits.error(), true);
    return;
  }
  handshake_done_ = true;
  handshake_ = std::move(*handshake);
  if (share_ && handshake_.role == PeerRole::node) server_->options_.trust->node_met(handshake_.node, *share_);
  give_share_back(*server_);
  connection_->set_frame_limit(max_frame_bytes);
  connection_->send(
      FrameKind::handshake, 0,
      encode(server_->driver_.own_handshake(handshake_.role == PeerRole::node ? handshake_.node : Uuid{})));
  if (handshake_.role == PeerRole::node) {
    server_->node_met(*this);
  } else {
    ++server_->clients_;
    if (!handshake_.node.is_nil()) server_->lease_clients_[handshake_.node] = this;
  }
}

// Asked when the handshake has come: a process that was there when the connection came in may have gone since.
Server::Session::Known Server::Session::who() const {
  const TlsEngine* tls = connection_->stream().tls();
  if (tls == nullptr) {
    if (Status served = user_.served(); !served) return denied(RefusalReason::user, served.error());
    return KnownPeer{.identity = {}, .role = AccessRole::node};
  }
  if (!tls->peer()) {
    return denied(RefusalReason::nobody,
                  {ErrorCode::access_denied, "you have shown no certificate: a token gets you one"});
  }
  return server_->options_.trust->known(*tls->peer(), tls->chain());
}

Server::Session::Known Server::Session::who_asks() const {
  Known peer = who();
  if (!peer || connection_->stream().tls() == nullptr) return peer;
  if (Status current = server_->options_.trust->up_to_date(); !current)
    return denied(RefusalReason::cut_off, current.error());
  return peer;
}

Server::Session::Allowed Server::Session::still_counts() {
  if (server_ == nullptr || !handshake_done_ || connection_->stream().tls() == nullptr) return {};
  const Known peer = is_client() ? who_asks() : who();
  if (!peer) return tl::unexpected(peer.error());
  role_ = peer->role;
  return {};
}

bool Server::Session::has_ended() const {
  if (server_ == nullptr) return false;
  const TlsEngine* tls = connection_->stream().tls();
  return tls != nullptr && tls->peer() && server_->options_.trust->has_ended(*tls->peer());
}

// The connection serves for nothing else afterwards.
void Server::Session::join(const ReceivedFrame& frame) {
  const TlsEngine* tls = connection_->stream().tls();
  Result<JoinRequest> request = decode_join_request(frame);
  if (!request) {
    refuse(malformed(request.error()), true);
  } else if (tls == nullptr || !server_->options_.admit) {
    refuse(Denial{{ErrorCode::access_denied, "nobody joins here: certificates are for connections from other machines"},
                  RefusalReason::no_tls},
           true);
  } else {
    asked_ = true;
    const RefusalReason refusal = request->secret.empty() ? RefusalReason::certificate : RefusalReason::token;
    server_->options_.admit(
        std::move(*request), tls->peer(), [weak = weak_from_this(), refusal](Result<JoinAnswer> answer) {
          const std::shared_ptr<Session> session = weak.lock();
          if (session == nullptr) return;
          session->answer_and_end(FrameKind::join_answer,
                                  answer ? Result<WireMessage>(encode(*answer)) : tl::unexpected(answer.error()),
                                  refusal);
        });
  }
}

void Server::Session::administer(const ReceivedFrame& frame) {
  const Known peer = who_asks();
  Result<TrustText> question = decode_trust_text(frame);
  if (!peer) {
    refuse(peer.error(), true);
  } else if (!question) {
    refuse(malformed(question.error()), true);
  } else if (!server_->options_.administer) {
    tell_and_end({ErrorCode::not_supported, "this node answers no questions about trust"});
  } else {
    asked_ = true;
    server_->options_.administer(
        std::move(question->text), peer->role, [weak = weak_from_this()](Result<std::string> said) {
          const std::shared_ptr<Session> session = weak.lock();
          if (session == nullptr) return;
          session->answer_and_end(
              FrameKind::trust,
              said ? Result<WireMessage>(encode(TrustText{std::move(*said)})) : tl::unexpected(said.error()),
              RefusalReason::role);
        });
  }
}

void Server::Session::answer_and_end(FrameKind kind, Result<WireMessage> answer, RefusalReason refusal) {
  if (server_ == nullptr) return;
  if (!answer && answer.error().code == ErrorCode::access_denied) {
    refuse(Denial{answer.error(), refusal}, true);
    return;
  }
  if (!answer) {
    tell_and_end(answer.error());
    return;
  }
  connection_->send(kind, 0, std::move(*answer));
  // A slow receiver gets the rest from the kernel's buffer.
  connection_->close_after_flush();
  end();
}

Server::Session::Allowed Server::Session::check(const Handshake& handshake) {
  const bool client = handshake.role == PeerRole::client;
  const Known peer = client ? who_asks() : who();
  if (!peer) return tl::unexpected(peer.error());
  role_ = peer->role;
  if (Allowed same = check_identity(handshake, *peer); !same) return same;
  if (client && !server_->room_for_client())
    return denied(RefusalReason::limit, {ErrorCode::overloaded, "too many clients"});
  return {};
}

// Whether it means this node of this ring, and is the node that it says it is.
Server::Session::Allowed Server::Session::check_identity(const Handshake& handshake, const KnownPeer& peer) const {
  Driver& driver = server_->driver_;
  if (!handshake.expected.is_nil() && handshake.expected != driver.node().id()) {
    return denied(RefusalReason::identity, {ErrorCode::wrong_identity, "this is node " + driver.node().id().text() +
                                                                           ", not " + handshake.expected.text()});
  }
  const std::optional<Genesis>& genesis = driver.node().genesis();
  if (genesis && !handshake.ring.is_nil() && handshake.ring != genesis->ring) {
    return denied(RefusalReason::identity,
                  {ErrorCode::foreign_ring, "this node belongs to ring " + genesis->ring.text()});
  }
  if (handshake.role == PeerRole::client) return {};
  const bool own =
      connection_->stream().tls() == nullptr || (role_ == AccessRole::node && peer.identity.node == handshake.node);
  if (!own) {
    return denied(RefusalReason::certificate,
                  {ErrorCode::access_denied, "your certificate is not the one of node " + handshake.node.text()});
  }
  if (Status same = driver.check_peer(handshake); !same) return denied(RefusalReason::identity, same.error());
  return {};
}

void Server::Session::envelope(const ReceivedFrame& frame) {
  Result<Envelope> envelope = decode_envelope(frame);
  if (!envelope) {
    refuse(malformed(envelope.error()), false);
    return;
  }
  if (envelope->header.source != handshake_.node) {
    refuse(malformed({ErrorCode::wrong_identity, "an envelope from another node than the one of the handshake"}),
           false);
    return;
  }
  ++server_->counters_.envelopes;
  server_->driver_.receive(*envelope);
}

void Server::Session::request(const ReceivedFrame& frame) {
  std::uint64_t number = frame.header.request;
  if (requests_.contains(number)) {
    refuse(malformed("a request number that is in use"), false);
    return;
  }
  Result<Operation> operation = decode_operation(frame);
  if (!operation) {
    if (operation.error().code == ErrorCode::corrupt) {
      refuse(malformed(operation.error()), false);
    } else {  // well-formed, but beyond a limit
      answer(number, tl::unexpected(OperationFailure{operation.error(), {}}));
    }
    return;
  }
  if (Status allowed = check_access(role_, *operation); !allowed) {
    server_->log_refused(peer_, Denial{allowed.error(), RefusalReason::role});
    answer(number, tl::unexpected(OperationFailure{allowed.error(), {}}));
    return;
  }
  ++server_->counters_.requests;
  auto answered = [weak = weak_from_this(), number](OperationResult result) {
    std::shared_ptr<Session> session = weak.lock();
    if (session) session->answer(number, std::move(result));
  };
  const SettleOperation* lock = std::get_if<SettleOperation>(&*operation);
  if (lock != nullptr && server_->options_.settle) {
    requests_.emplace(number, no_operation);
    server_->options_.settle(*lock, std::move(answered));
  } else {
    requests_.emplace(number, server_->driver_.submit(std::move(*operation), std::move(answered)));
  }
  throttle();
}

// To whoever does not read its answers nothing more is said: its leases run out.
void Server::Session::recall(const Recall& recall) {
  if (connection_->queued_bytes() > server_->options_.limits.queue_bytes) return;
  connection_->send(FrameKind::recall, 0, encode(recall));
}

void Server::Session::release(const ReceivedFrame& frame) {
  Result<Release> release = decode_recall(frame);
  if (!release) {
    refuse(malformed(release.error()), false);
  } else if (release->client != handshake_.node) {
    refuse(malformed({ErrorCode::wrong_identity, "leases of another client are given back"}), false);
  } else {
    server_->driver_.released(*release);
  }
}

void Server::Session::answer(std::uint64_t number, OperationResult result) {
  requests_.erase(number);
  if (server_ == nullptr) return;
  const Stamp now = server_->driver_.node().ring_time(boot_time());
  WireMessage message = encode(Response{.stamp = now, .result = std::move(result)});
  bool full =
      connection_->queued_bytes() > server_->options_.limits.queue_bytes && message.bytes() > small_answer_bytes;
  if (full || message.bytes() > max_frame_bytes) {
    Error error = full ? Error{ErrorCode::overloaded, "the client does not read its answers"}
                       : Error{ErrorCode::too_large, "an answer larger than a frame"};
    message = encode(Response{.stamp = now, .result = tl::unexpected(OperationFailure{std::move(error), {}})});
  }
  connection_->send(FrameKind::response, number, std::move(message));
  throttle();
}

// ---- Back-pressure ---------------------------------------------------------------------------------

void Server::Session::throttle() {
  if (server_ == nullptr || connection_->closed()) return;
  const ServerLimits& limits = server_->options_.limits;
  bool full =
      draining_ || requests_.size() >= limits.requests_in_flight || connection_->queued_bytes() > limits.queue_bytes;
  bool free = !draining_ && requests_.size() <= limits.requests_in_flight / 2 &&
              connection_->queued_bytes() <= limits.queue_bytes / 2;
  if (full) {
    connection_->pause_reading();
  } else if (free && connection_->paused()) {
    std::shared_ptr<Session> self = shared_from_this();
    connection_->resume_reading();
  }
}

void Server::Session::queue_drained(FrameConnection&) { throttle(); }

void Server::Session::drain() {
  draining_ = true;
  if (!is_client()) return;
  connection_->pause_reading();
  // Closing now makes the client ask another node at once instead of waiting for this process to end.
  if (requests_.empty() && connection_->queued_bytes() == 0) end();
}

// ---- The end ---------------------------------------------------------------------------------------

void Server::Session::refuse(const Denial& why, bool tell) {
  if (server_ == nullptr) return;
  server_->log_refused(peer_, why);
  if (tell)
    tell_and_end(why);
  else
    end();
}

void Server::Session::tell_and_end(const Error& why) {
  connection_->send(FrameKind::error, 0, encode(why));
  connection_->close_after_flush();
  end();
}

void Server::Session::connection_closed(FrameConnection& connection, const Error& why) {
  if (server_ == nullptr) return;
  const TlsEngine* tls = connection.stream().tls();
  if (tls != nullptr && !tls->established())
    server_->log_refused(peer_, Denial{why, RefusalReason::handshake});
  else if (why.code != ErrorCode::unreachable)
    server_->log_refused(peer_, malformed(why));
  spdlog::debug("event=connection_closed peer={} reason=\"{}\"", peer_, why.text());
  end();
}

void Server::Session::give_share_back(Server& server) {
  if (share_) server.shares_.end(*share_);
  share_.reset();
}

void Server::Session::end_quietly() { end(); }

void Server::Session::end() {
  if (server_ == nullptr) return;
  std::shared_ptr<Session> self = shared_from_this();
  Server* server = std::exchange(server_, nullptr);
  connection_->close();
  give_share_back(*server);
  for (const auto& [number, operation] : std::exchange(requests_, {})) server->driver_.cancel(operation);
  if (is_client()) {
    --server->clients_;
    auto found = server->lease_clients_.find(handshake_.node);
    if (found != server->lease_clients_.end() && found->second == this) server->lease_clients_.erase(found);
  }
  if (handshake_done_ && handshake_.role == PeerRole::node) server->node_gone(*this);
  server->forget(*this);
}

}  // namespace ringfs::dht

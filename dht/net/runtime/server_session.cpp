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
  if (Status served = user_.served(); !served) refuse(served.error(), true);
}

bool Server::Session::is_late(TimePoint now) const {
  const ServerLimits& limits = server_->options_.limits;
  if (!handshake_done_) return now - accepted_ >= (asked_ ? limits.question : limits.handshake);
  TimePoint since = connection_->partial_since();
  return since != never && !connection_->paused() && now - since >= limits.frame;
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
      refuse({ErrorCode::corrupt, "the first frame is not a handshake"}, false);
    }
    return;
  }
  bool client = handshake_.role == PeerRole::client;
  if (frame.header.kind == FrameKind::request && client) {
    request(frame);
  } else if (frame.header.kind == FrameKind::envelope && !client) {
    envelope(frame);
  } else if (frame.header.kind == FrameKind::error) {
    Result<Error> error = decode_error(frame);
    refuse(error ? *error : error.error(), false);
  } else {
    refuse({ErrorCode::corrupt, "a frame that does not belong here"}, false);
  }
}

void Server::Session::handshake_received(const ReceivedFrame& frame) {
  Result<Handshake> handshake = decode_handshake(frame);
  if (!handshake) {
    refuse(handshake.error(), handshake.error().code == ErrorCode::version_mismatch);
    return;
  }
  Status fits = check(*handshake);
  if (!fits) {
    refuse(fits.error(), true);
    return;
  }
  handshake_done_ = true;
  give_share_back(*server_);
  handshake_ = std::move(*handshake);
  connection_->set_frame_limit(max_frame_bytes);
  connection_->send(FrameKind::handshake, 0, encode(server_->driver_.own_handshake(handshake_.node)));
  if (handshake_.role == PeerRole::node) {
    server_->node_met(*this);
  } else {
    ++server_->clients_;
  }
}

// Asked when the handshake has come: a process that was there when the connection came in may have gone since.
Result<KnownPeer> Server::Session::who() const {
  const TlsEngine* tls = connection_->stream().tls();
  if (tls == nullptr) {
    if (Status served = user_.served(); !served) return tl::unexpected(served.error());
    return KnownPeer{.identity = {}, .role = AccessRole::node};
  }
  if (!tls->peer()) return fail(ErrorCode::access_denied, "you have shown no certificate: a token gets you one");
  return server_->options_.trust->known(*tls->peer(), tls->chain());
}

Status Server::Session::still_counts() {
  if (server_ == nullptr || !handshake_done_ || connection_->stream().tls() == nullptr) return {};
  const Result<KnownPeer> peer = who();
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
    refuse(request.error(), true);
  } else if (tls == nullptr || !server_->options_.admit) {
    refuse({ErrorCode::access_denied, "nobody joins here: certificates are for connections from other machines"}, true);
  } else {
    asked_ = true;
    server_->options_.admit(std::move(*request), tls->peer(), [weak = weak_from_this()](Result<JoinAnswer> answer) {
      const std::shared_ptr<Session> session = weak.lock();
      if (session == nullptr) return;
      session->answer_and_end(FrameKind::join_answer,
                              answer ? Result<WireMessage>(encode(*answer)) : tl::unexpected(answer.error()));
    });
  }
}

void Server::Session::administer(const ReceivedFrame& frame) {
  const Result<KnownPeer> peer = who();
  Result<TrustText> question = decode_trust_text(frame);
  if (!peer) {
    refuse(peer.error(), true);
  } else if (!question) {
    refuse(question.error(), true);
  } else if (!server_->options_.administer) {
    refuse({ErrorCode::not_supported, "this node answers no questions about trust"}, true);
  } else {
    asked_ = true;
    server_->options_.administer(
        std::move(question->text), peer->role, [weak = weak_from_this()](Result<std::string> said) {
          const std::shared_ptr<Session> session = weak.lock();
          if (session == nullptr) return;
          session->answer_and_end(FrameKind::trust, said ? Result<WireMessage>(encode(TrustText{std::move(*said)}))
                                                         : tl::unexpected(said.error()));
        });
  }
}

void Server::Session::answer_and_end(FrameKind kind, Result<WireMessage> answer) {
  if (server_ == nullptr) return;
  if (!answer) {
    refuse(answer.error(), true);
    return;
  }
  connection_->send(kind, 0, std::move(*answer));
  // A slow receiver gets the rest from the kernel's buffer.
  connection_->close_after_flush();
  end();
}

Status Server::Session::check(const Handshake& handshake) {
  Driver& driver = server_->driver_;
  const Result<KnownPeer> peer = who();
  if (!peer) return tl::unexpected(peer.error());
  role_ = peer->role;
  if (!handshake.expected.is_nil() && handshake.expected != driver.node().id()) {
    return fail(ErrorCode::wrong_identity,
                "this is node " + driver.node().id().text() + ", not " + handshake.expected.text());
  }
  const std::optional<Genesis>& genesis = driver.node().genesis();
  if (genesis && !handshake.ring.is_nil() && handshake.ring != genesis->ring) {
    return fail(ErrorCode::foreign_ring, "this node belongs to ring " + genesis->ring.text());
  }
  if (handshake.role == PeerRole::node) {
    const bool own =
        connection_->stream().tls() == nullptr || (role_ == AccessRole::node && peer->identity.node == handshake.node);
    if (!own) return fail(ErrorCode::access_denied, "your certificate is not the one of node " + handshake.node.text());
    if (Status same = driver.check_peer(handshake); !same) return same;
  }
  if (handshake.role == PeerRole::client && !server_->room_for_client()) {
    return fail(ErrorCode::overloaded, "too many clients");
  }
  return {};
}

void Server::Session::envelope(const ReceivedFrame& frame) {
  Result<Envelope> envelope = decode_envelope(frame);
  if (!envelope) {
    refuse(envelope.error(), false);
    return;
  }
  if (envelope->header.source != handshake_.node) {
    refuse({ErrorCode::wrong_identity, "an envelope from another node than the one of the handshake"}, false);
    return;
  }
  ++server_->counters_.envelopes;
  server_->driver_.receive(*envelope);
}

void Server::Session::request(const ReceivedFrame& frame) {
  std::uint64_t number = frame.header.request;
  if (requests_.contains(number)) {
    refuse({ErrorCode::corrupt, "a request number that is in use"}, false);
    return;
  }
  Result<Operation> operation = decode_operation(frame);
  if (!operation) {
    if (operation.error().code == ErrorCode::corrupt) {
      refuse(operation.error(), false);
    } else {  // well-formed, but beyond a limit
      answer(number, tl::unexpected(OperationFailure{operation.error(), {}}));
    }
    return;
  }
  if (Status allowed = check_access(role_, *operation); !allowed) {
    answer(number, tl::unexpected(OperationFailure{allowed.error(), {}}));
    return;
  }
  ++server_->counters_.requests;
  std::weak_ptr<Session> weak = weak_from_this();
  OperationId id = server_->driver_.submit(std::move(*operation), [weak, number](OperationResult result) {
    std::shared_ptr<Session> session = weak.lock();
    if (session) session->answer(number, std::move(result));
  });
  requests_.emplace(number, id);
  throttle();
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

void Server::Session::refuse(const Error& why, bool tell) {
  if (server_ == nullptr) return;
  server_->log_refused(peer_, why);
  if (tell) {
    connection_->send(FrameKind::error, 0, encode(why));
    connection_->close_after_flush();
  }
  end();
}

void Server::Session::connection_closed(FrameConnection&, const Error& why) {
  if (server_ == nullptr) return;
  bool broken = why.code != ErrorCode::unreachable;
  if (broken) server_->log_refused(peer_, why);
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
  if (is_client()) --server->clients_;
  if (handshake_done_ && handshake_.role == PeerRole::node) server->node_gone(*this);
  server->forget(*this);
}

}  // namespace ringfs::dht

// How a connection is opened: dial, handshakes with a time limit, then frames.
#include "dht/net/transport/outgoing_connection.hpp"

#include <utility>

#include "dht/net/trust/tls_engine.hpp"

namespace ringfs::dht {

OutgoingConnection::OutgoingConnection(const boost::asio::any_io_executor& executor, Flusher& flusher,
                                       OutgoingOptions options)
    : executor_(executor), flusher_(flusher), options_(std::move(options)), timer_(executor) {}

void OutgoingConnection::stop() {
  stopped_ = true;
  timer_.cancel();
  if (dial_) dial_->cancel();
  if (connection_) connection_->close();
}

void OutgoingConnection::stop_with(FrameKind kind, WireMessage last) {
  if (connected()) {
    connection_->send(kind, 0, std::move(last));
    connection_->close_after_flush();
  }
  stop();
}

void OutgoingConnection::connect(const std::string& address) {
  state_ = State::connecting;
  dial_ = dial(executor_, address, options_.connect,
               [self = shared_from_this()](Result<Socket> socket) { self->dialled(std::move(socket)); });
}

void OutgoingConnection::dialled(Result<Socket> socket) {
  dial_.reset();
  if (stopped_) return;
  if (!socket) {
    end(socket.error());
    return;
  }
  state_ = State::handshake;
  const LocalPeer server(*socket);
  connection_ = std::make_shared<FrameConnection>(options_.make_stream(std::move(*socket)), *this, flusher_);
  server_ = connection_->stream().tls() == nullptr ? server : LocalPeer();
  connection_->start();
  connection_->send(FrameKind::handshake, 0, encode(own_handshake()));
  timer_.expires_after(options_.handshake);
  timer_.async_wait([self = shared_from_this(), connection = connection_](boost::system::error_code error) {
    // A wait that was cancelled may still come back without an error.
    const bool current = self->state_ == State::handshake && self->connection_ == connection;
    if (!error && current) self->end({ErrorCode::unreachable, "no handshake in time"});
  });
}

void OutgoingConnection::frame_received(FrameConnection&, ReceivedFrame frame) {
  const std::shared_ptr<OutgoingConnection> self = shared_from_this();
  if (frame.header.kind == FrameKind::error) {
    error_received(frame);
  } else if (state_ == State::handshake && frame.header.kind == FrameKind::handshake) {
    handshake_received(frame);
  } else if (state_ == State::connected) {
    received(std::move(frame));
  } else {
    end({ErrorCode::corrupt, "a frame that does not belong here"});
  }
}

void OutgoingConnection::error_received(const ReceivedFrame& frame) {
  Result<Error> error = decode_error(frame);
  const bool answers_handshake = state_ == State::handshake;
  end(error ? *error : error.error());
  if (error && answers_handshake && !stopped_) refused(*error);
}

void OutgoingConnection::handshake_received(const ReceivedFrame& frame) {
  Result<Handshake> handshake = decode_handshake(frame);
  if (!handshake) {
    end(handshake.error());
  } else if (Status ours = check_server(*handshake); !ours) {
    end({ours.error().code, "the process that listens there is not taken: " + ours.error().context});
  } else if (Status fits = check(*handshake); !fits) {
    end(fits.error());
  } else {
    timer_.cancel();
    state_ = State::connected;
    connection_->set_frame_limit(max_frame_bytes);
    handshake_done(*handshake);
  }
}

// The user whom it runs as, or the certificate that it has shown: TLS lets nobody but a node of the ring come so far.
Status OutgoingConnection::check_server(const Handshake& handshake) const {
  const TlsEngine* tls = connection_->stream().tls();
  if (tls == nullptr) return server_.believed();
  const std::optional<Identity> identity = tls->peer() ? tls->peer()->identity() : std::nullopt;
  const bool same = identity && identity->kind == Identity::Kind::node && identity->node == handshake.node;
  if (same) return {};
  return fail(ErrorCode::wrong_identity, "its certificate is not the one of node " + handshake.node.text());
}

void OutgoingConnection::connection_closed(FrameConnection&, const Error& why) { end(why); }

void OutgoingConnection::end(const Error& why) {
  if (stopped_) return;
  const std::shared_ptr<OutgoingConnection> self = shared_from_this();
  if (connection_) std::exchange(connection_, nullptr)->close();
  timer_.cancel();
  const bool was_connected = std::exchange(state_, State::idle) == State::connected;
  lost(why, was_connected);
}

}  // namespace ringfs::dht

// A connection that this side opens: dials, exchanges handshakes, then hands on frames. A peer's end (peer.cpp) and a
// client's (tcp_transport.cpp) derive from it; it may be opened again after it was lost.
//
// Threads: one loop. Ownership: shared_ptr, because a pending connect or timer may outlive whoever wanted the
// connection; stop() makes them do nothing. Errors: lost() hears of each end, once a connect(): dial's and
// FrameConnection's errors, what an error frame says, what check() says, corrupt (a frame that does not belong here),
// unreachable (no handshake in time). Limits: OutgoingOptions.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <memory>
#include <string>

#include "dht/base/error.hpp"
#include "dht/base/time.hpp"
#include "dht/net/sockets/dial.hpp"
#include "dht/net/sockets/peer_user.hpp"
#include "dht/net/transport/frame_connection.hpp"
#include "dht/net/wire/codec.hpp"

namespace ringfs::dht {

struct OutgoingOptions {
  Duration connect;    // until the socket is connected
  Duration handshake;  // from then until the other side's handshake
  StreamMaker make_stream;
};

class OutgoingConnection : public FrameConnection::Owner, public std::enable_shared_from_this<OutgoingConnection> {
 public:
  OutgoingConnection(const boost::asio::any_io_executor& executor, Flusher& flusher, OutgoingOptions options);
  virtual ~OutgoingConnection() = default;
  OutgoingConnection(const OutgoingConnection&) = delete;
  OutgoingConnection& operator=(const OutgoingConnection&) = delete;

  void stop();  // for good; does not call the derived class
  // The same, with a last frame if it is connected: as much of it leaves as the kernel takes at once.
  void stop_with(FrameKind kind, WireMessage last);

 protected:
  // Nothing is open or being opened.
  bool idle() const { return state_ == State::idle; }
  bool connected() const { return state_ == State::connected; }
  bool stopped() const { return stopped_; }
  std::size_t queued_bytes() const { return connection_ ? connection_->queued_bytes() : 0; }

  void connect(const std::string& address);                                // when idle
  void send(FrameKind kind, std::uint64_t request, WireMessage message) {  // when connected
    connection_->send(kind, request, std::move(message));
  }
  void end(const Error& why);  // closes and tells lost()

  virtual Handshake own_handshake() = 0;
  virtual Status check(const Handshake& handshake) = 0;  // of the other side; an error ends the connection
  virtual void handshake_done(const Handshake& handshake) = 0;
  virtual void received(ReceivedFrame frame) = 0;               // when connected; not error frames
  virtual void lost(const Error& why, bool was_connected) = 0;  // idle again
  virtual void refused(const Error&) {}  // after lost(): the other side answered the handshake with this error

 private:
  enum class State : std::uint8_t { idle, connecting, handshake, connected };

  void dialled(Result<Socket> socket);
  void frame_received(FrameConnection& connection, ReceivedFrame frame) override;
  void connection_closed(FrameConnection& connection, const Error& why) override;
  void error_received(const ReceivedFrame& frame);
  void handshake_received(const ReceivedFrame& frame);
  Status check_server(const Handshake& handshake) const;

  boost::asio::any_io_executor executor_;
  Flusher& flusher_;
  OutgoingOptions options_;
  boost::asio::steady_timer timer_;  // for the handshake
  State state_ = State::idle;
  bool stopped_ = false;
  std::shared_ptr<Dial> dial_;
  LocalPeer server_;  // whoever answers there; asked for by nobody on a connection that is TLS
  std::shared_ptr<FrameConnection> connection_;
};

}  // namespace ringfs::dht

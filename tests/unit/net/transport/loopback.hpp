// Real sockets on the loopback interface for tests of dht/net: a node with a server, and a peer that speaks raw frames.
// Threads: one loop, run by the test.
#pragma once

#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <functional>
#include <memory>

#include "dht/net/runtime/driver.hpp"
#include "dht/net/runtime/server.hpp"
#include "dht/net/sockets/dial.hpp"
#include "dht/net/transport/system_clock.hpp"
#include "tests/unit/net/runtime/memory_storage.hpp"

namespace ringfs::dht {

// Generous: it only bounds tests that fail.
inline constexpr Duration test_limit = std::chrono::seconds(30);

inline bool run_until(boost::asio::io_context& loop, const std::function<bool()>& done, Duration limit = test_limit) {
  TimePoint end = boot_time() + limit;
  while (!done()) {
    if (boot_time() >= end) return false;
    loop.restart();
    loop.run_one_for(std::chrono::milliseconds(20));
  }
  return true;
}

inline void run_for(boost::asio::io_context& loop, Duration duration) {
  run_until(
      loop, [] { return false; }, duration);
}

// One node in this process. The storage outlives the driver, so that the node can be killed and started again.
struct TestNode {
  TestNode(boost::asio::io_context& context, std::uint64_t seed, ServerLimits limits = {})
      : TestNode(context, seed, ServerOptions{.limits = limits}) {}
  TestNode(boost::asio::io_context& context, std::uint64_t seed, ServerOptions options)
      : loop(context), random(seed), id(random_uuid(random)), storage(id), server_options(std::move(options)) {
    start();
  }

  void start(const std::string& at = "127.0.0.1:0") {
    Result<Listener> listener = listen_on(loop, at);
    RINGFS_CHECK(listener.has_value());
    address = listener->address;
    DriverOptions options;
    options.node.address = address;
    options.status_interval = std::chrono::milliseconds(20);
    driver = std::make_unique<Driver>(loop, storage, storage.persisted(), random, options,
                                      [this](Error error) { fatal = std::move(error); });
    server = std::make_unique<Server>(loop, *driver, std::move(*listener), server_options);
    driver->start();
    server->start();
  }

  // Like kill -9: sockets close, no error frame is sent.
  void kill() {
    server.reset();
    driver.reset();
  }

  boost::asio::io_context& loop;
  SeededRandom random;
  Uuid id;
  MemoryStorage storage;
  ServerOptions server_options;
  std::string address;
  std::optional<Error> fatal;
  std::unique_ptr<Driver> driver;
  std::unique_ptr<Server> server;
};

// The other end of a connection, frame by frame.
class RawPeer : public FrameConnection::Owner {
 public:
  explicit RawPeer(boost::asio::io_context& loop) : loop_(loop), flusher_(loop.get_executor()) {}
  RawPeer(boost::asio::io_context& loop, const std::string& address, StreamMaker make_stream = make_plain_stream)
      : RawPeer(loop) {
    make_stream_ = std::move(make_stream);
    attempt_ = dial(loop.get_executor(), address, test_limit, [this](Result<Socket> socket) {
      RINGFS_CHECK(socket.has_value());
      take(std::move(*socket));
    });
    RINGFS_CHECK(run_until(loop_, [this] { return connection != nullptr; }));
  }
  ~RawPeer() {
    if (attempt_) attempt_->cancel();
    if (connection) connection->close();
  }

  void take(Socket socket) {
    native = socket.native_handle();
    connection = std::make_shared<FrameConnection>(make_stream_(std::move(socket)), *this, flusher_);
    connection->set_frame_limit(max_frame_bytes);
    connection->start();
  }

  static Handshake client_handshake() {
    Handshake handshake;
    handshake.role = PeerRole::client;
    return handshake;
  }

  void send(FrameKind kind, std::uint64_t request, const WireMessage& message) {
    connection->send(kind, request, message);
  }
  void send_handshake(const Handshake& handshake) { send(FrameKind::handshake, 0, encode(handshake)); }
  void send_bytes(const std::string& bytes) {
    RINGFS_CHECK(::send(native, bytes.data(), bytes.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size()));
  }
  // Sends a client's handshake and returns the node's.
  Handshake meet(const Handshake& handshake = client_handshake()) {
    send_handshake(handshake);
    EXPECT_TRUE(wait_frames(1));
    Result<Handshake> answer = decode_handshake(frames.at(0));
    EXPECT_TRUE(answer);
    frames.clear();
    return answer ? *answer : Handshake{};
  }

  bool wait_frames(std::size_t count) {
    return run_until(loop_, [&] { return frames.size() >= count || closed; }) && frames.size() >= count;
  }
  bool wait_closed() {
    return run_until(loop_, [&] { return closed.has_value(); });
  }
  // The error frame that came, if one did.
  std::optional<Error> told() const {
    if (frames.empty() || frames.back().header.kind != FrameKind::error) return std::nullopt;
    Result<Error> error = decode_error(frames.back());
    return error ? std::optional<Error>(*error) : std::nullopt;
  }

  // The other end closes the connection and says why.
  void expect_refused(ErrorCode why) {
    ASSERT_TRUE(wait_closed());
    ASSERT_TRUE(told());
    EXPECT_EQ(told()->code, why);
  }

  std::vector<ReceivedFrame> frames;
  std::optional<Error> closed;
  std::shared_ptr<FrameConnection> connection;
  int native = -1;

 private:
  void frame_received(FrameConnection&, ReceivedFrame frame) override { frames.push_back(std::move(frame)); }
  void connection_closed(FrameConnection&, const Error& why) override { closed = why; }

  boost::asio::io_context& loop_;
  Flusher flusher_;
  StreamMaker make_stream_ = make_plain_stream;
  std::shared_ptr<Dial> attempt_;
};

}  // namespace ringfs::dht

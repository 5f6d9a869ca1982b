// Frames over TLS on a pair of sockets.
#include "dht/net/transport/tls_stream.hpp"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <boost/asio/io_context.hpp>

#include "dht/net/transport/frame_connection.hpp"
#include "dht/net/transport/system_clock.hpp"
#include "dht/net/wire/codec.hpp"

namespace ringfs::dht {
namespace {

constexpr Stamp now{1'790'000'000'000'000};

struct End : FrameConnection::Owner {
  void frame_received(FrameConnection&, ReceivedFrame frame) override { frames.push_back(std::move(frame)); }
  void connection_closed(FrameConnection&, const Error& why) override { closed = why; }
  std::vector<ReceivedFrame> frames;
  std::optional<Error> closed;
  std::shared_ptr<FrameConnection> connection;
};

class TlsStreamTest : public testing::Test {
 protected:
  TlsStreamTest() : flusher(loop.get_executor()) {
    ring.bytes[0] = 1;
    authority = make_authority(ring, now).value();
  }
  ~TlsStreamTest() override {
    for (End* end : {&left, &right}) {
      if (end->connection) end->connection->close();
    }
  }

  std::shared_ptr<const TlsContext> context(const Authority& signer) const {
    PrivateKey key = PrivateKey::generate().value();
    Certificate own =
        issue(signer, make_request(key).value(), {.identity = node_identity(ring, ring), .names = {}, .now = now})
            .value();
    return TlsContext::make(Credentials{.key = std::move(key), .chain = {own}}, "ringfs/1").value();
  }
  std::unique_ptr<TlsStream> stream(int socket, const std::shared_ptr<const TlsContext>& with, TlsEngine::Side side) {
    auto check = [this](const Certificate& leaf, const std::vector<Certificate>& chain) -> Status {
      if (verify(leaf, chain, {authority->certificate}, {.ring = ring, .now = now})) return {};
      return fail(ErrorCode::access_denied, "not of this ring");
    };
    return std::make_unique<TlsStream>(Socket(loop, boost::asio::generic::stream_protocol(AF_UNIX, 0), socket),
                                       std::make_unique<TlsEngine>(with, side, check));
  }
  void connect(const std::shared_ptr<const TlsContext>& of_server) {
    int ends[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
    // Small buffers, so that each side has to wait for the other.
    const int small = 8192;
    for (int end : ends) ASSERT_EQ(::setsockopt(end, SOL_SOCKET, SO_SNDBUF, &small, sizeof small), 0);
    left.connection =
        std::make_shared<FrameConnection>(stream(ends[0], context(*authority), TlsEngine::Side::client), left, flusher);
    right.connection =
        std::make_shared<FrameConnection>(stream(ends[1], of_server, TlsEngine::Side::server), right, flusher);
    for (End* end : {&left, &right}) {
      end->connection->set_frame_limit(max_frame_bytes);
      end->connection->start();
    }
  }
  bool run_until(const std::function<bool()>& done) {
    const TimePoint end = boot_time() + std::chrono::seconds(30);
    while (!done()) {
      if (boot_time() >= end) return false;
      loop.restart();
      loop.run_one_for(std::chrono::milliseconds(20));
    }
    return true;
  }
  static WireMessage message(std::size_t size, char fill, std::size_t pieces) {
    WireMessage it;
    it.message = std::string(10, fill);
    for (std::size_t i = 0; i < pieces; ++i) it.payload.emplace_back(std::string(size, fill));
    return it;
  }

  boost::asio::io_context loop;
  Flusher flusher;
  Uuid ring;
  std::optional<Authority> authority;
  End left, right;
};

TEST_F(TlsStreamTest, FramesOfAllSizes_BothWaysAtOnce_ArriveWhole) {
  connect(context(*authority));
  struct Shape {
    std::size_t size;
    std::size_t pieces;
  };
  const std::vector<Shape> shapes{{0, 0},    {1, 1},        {100, 50},    {3000, 40},
                                  {5000, 3}, {16 << 10, 4}, {1 << 20, 1}, {7, 1}};
  for (std::size_t i = 0; i < shapes.size(); ++i) {
    const char fill = static_cast<char>('a' + i);
    left.connection->send(FrameKind::envelope, 0, message(shapes[i].size, fill, shapes[i].pieces));
    right.connection->send(FrameKind::envelope, 0, message(shapes[i].size, fill, shapes[i].pieces));
  }
  ASSERT_TRUE(run_until([&] { return left.frames.size() == shapes.size() && right.frames.size() == shapes.size(); }));
  for (End* end : {&left, &right}) {
    for (std::size_t i = 0; i < shapes.size(); ++i) {
      const std::string_view body = end->frames[i].body.view();
      EXPECT_EQ(body.size(), 10 + shapes[i].size * shapes[i].pieces);
      EXPECT_EQ(body.find_first_not_of(static_cast<char>('a' + i)), std::string_view::npos);
    }
  }
  EXPECT_EQ(left.connection->queued_bytes(), 0U);
}

TEST_F(TlsStreamTest, CloseOfOneSide_IsHeardByTheOther) {
  connect(context(*authority));
  left.connection->send(FrameKind::envelope, 0, message(1, 'x', 1));
  ASSERT_TRUE(run_until([&] { return right.frames.size() == 1; }));
  left.connection->close();
  ASSERT_TRUE(run_until([&] { return right.closed.has_value(); }));
  EXPECT_EQ(right.closed->code, ErrorCode::unreachable);
}

TEST_F(TlsStreamTest, ServerOfAnotherAuthority_EndsBothAndNothingIsDelivered) {
  ring.bytes[1] = 7;
  connect(context(make_authority(ring, now).value()));
  left.connection->send(FrameKind::envelope, 0, message(1, 'x', 1));
  ASSERT_TRUE(run_until([&] { return left.closed && right.closed; }));
  EXPECT_TRUE(right.frames.empty());
}

}  // namespace
}  // namespace ringfs::dht

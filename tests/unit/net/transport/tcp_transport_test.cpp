// Calls over TCP: pipelining, deadlines, broken connections, identities.
#include "dht/net/transport/tcp_transport.hpp"

#include <gtest/gtest.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>

#include "dht/net/transport/ring_trust.hpp"
#include "tests/unit/net/transport/loopback.hpp"

namespace ringfs::dht {
namespace {

class TcpTransportTest : public testing::Test {
 protected:
  struct Pending {
    std::optional<OperationResult> result;
    std::optional<ErrorCode> code() const {
      if (!result || *result) return std::nullopt;
      return result->error().error.code;
    }
  };

  std::shared_ptr<Pending> call(const std::string& address, Uuid expected = {}, Duration limit = test_limit) {
    return call_through(transport, address, expected, limit);
  }
  std::shared_ptr<Pending> call_through(TcpTransport& through, const std::string& address, Uuid expected = {},
                                        Duration limit = test_limit) {
    auto pending = std::make_shared<Pending>();
    auto work = through.call(address, expected, StatusOperation{}, boot_time() + limit);
    boost::asio::co_spawn(loop, std::move(work), [pending](std::exception_ptr error, OperationResult answer) {
      RINGFS_CHECK(!error);
      pending->result = std::move(answer);
    });
    return pending;
  }
  bool wait(const std::shared_ptr<Pending>& pending) {
    return run_until(loop, [&] { return pending->result.has_value(); });
  }

  // A server that does what the test says: accepts into `peers`.
  struct Stranger {
    explicit Stranger(boost::asio::io_context& context) : loop(context), listener(*listen_on(context, "127.0.0.1:0")) {
      accept();
    }
    void accept() {
      listener.acceptor.async_accept([this](boost::system::error_code error, boost::asio::ip::tcp::socket socket) {
        if (error) return;
        peers.push_back(std::make_unique<RawPeer>(loop));
        peers.back()->take(std::move(socket));
        accept();
      });
    }
    // Sends this node's handshake on the newest connection.
    void send_handshake(const Uuid& id, Stamp stamp = wall_time()) {
      RINGFS_CHECK(run_until(loop, [this] { return !peers.empty() && !peers.back()->frames.empty(); }));
      Handshake handshake;
      handshake.role = PeerRole::node;
      handshake.node = id;
      handshake.stamp = stamp;
      peers.back()->send_handshake(handshake);
    }
    boost::asio::io_context& loop;
    Listener listener;
    std::vector<std::unique_ptr<RawPeer>> peers;
  };

  void TearDown() override {
    transport.stop();
    run_for(loop, std::chrono::milliseconds(10));
  }

  boost::asio::io_context loop;
  SeededRandom random{6};
  TcpTransport transport{loop.get_executor(), random};
};

TEST_F(TcpTransportTest, Calls_ShareOneConnection) {
  TestNode node(loop, 1);
  std::vector<std::shared_ptr<Pending>> calls;
  for (int i = 0; i < 500; ++i) calls.push_back(call(node.address));
  for (auto& pending : calls) {
    ASSERT_TRUE(wait(pending));
    ASSERT_TRUE(*pending->result);
    EXPECT_EQ(std::get<NodeStatus>(**pending->result).node, node.id);
  }
  EXPECT_EQ(node.server->counters().accepted, 1U);
}

TEST_F(TcpTransportTest, NobodyListens_IsRefused) {
  std::string address;
  { address = listen_on(loop, "127.0.0.1:0")->address; }
  auto pending = call(address);
  ASSERT_TRUE(wait(pending));
  EXPECT_EQ(pending->code(), ErrorCode::connection_refused);
}

TEST_F(TcpTransportTest, StreamThatIsRefused_IsUnreachableInItsWords) {
  TestNode node(loop, 1);
  TcpTransportOptions options;
  options.make_stream = refused_streams({ErrorCode::access_denied, "no credentials"});
  TcpTransport refused(loop.get_executor(), random, options);
  for (int i = 0; i < 2; ++i) {
    auto pending = call_through(refused, node.address);
    ASSERT_TRUE(wait(pending));
    EXPECT_EQ(pending->code(), ErrorCode::unreachable);
    EXPECT_NE(pending->result->error().error.context.find("no credentials"), std::string::npos);
  }
}

TEST_F(TcpTransportTest, NotAnAddress_IsUnreachable) {
  auto pending = call("nonsense");
  ASSERT_TRUE(wait(pending));
  EXPECT_EQ(pending->code(), ErrorCode::unreachable);
}

TEST_F(TcpTransportTest, OtherIdentity_IsWrongIdentityForThatCallAlone) {
  TestNode node(loop, 1);
  auto good = call(node.address, node.id), bad = call(node.address, random_uuid(random));
  ASSERT_TRUE(wait(good) && wait(bad));
  EXPECT_TRUE(*good->result);
  EXPECT_EQ(bad->code(), ErrorCode::wrong_identity);
  auto late = call(node.address, random_uuid(random));  // on the connection that is there
  ASSERT_TRUE(wait(late));
  EXPECT_EQ(late->code(), ErrorCode::wrong_identity);
}

TEST_F(TcpTransportTest, BrokenConnection_EndsAllCallsAndTheNextOneConnectsAgain) {
  TestNode node(loop, 1);
  Stranger stranger(loop);
  auto first = call(stranger.listener.address), second = call(stranger.listener.address);
  stranger.send_handshake(node.id);
  ASSERT_TRUE(stranger.peers.back()->wait_frames(3));
  stranger.peers.back()->connection->close();
  ASSERT_TRUE(wait(first) && wait(second));
  EXPECT_EQ(first->code(), ErrorCode::unreachable);
  EXPECT_EQ(second->code(), ErrorCode::unreachable);
  auto again = call(stranger.listener.address);
  ASSERT_TRUE(run_until(loop, [&] { return stranger.peers.size() == 2; }));
  stranger.send_handshake(node.id);
  ASSERT_TRUE(stranger.peers.back()->wait_frames(2));
  stranger.peers.back()->send(FrameKind::response, stranger.peers.back()->frames[1].header.request,
                              encode(Response{wall_time(), Empty{}}));
  ASSERT_TRUE(wait(again));
  EXPECT_TRUE(*again->result);
}

TEST_F(TcpTransportTest, NoAnswer_IsTimeoutAndALateOneIsIgnored) {
  Stranger stranger(loop);
  auto pending = call(stranger.listener.address, {}, std::chrono::milliseconds(100));
  stranger.send_handshake(random_uuid(random));
  ASSERT_TRUE(stranger.peers.back()->wait_frames(2));
  ASSERT_TRUE(wait(pending));
  EXPECT_EQ(pending->code(), ErrorCode::timeout);
  std::uint64_t number = stranger.peers.back()->frames[1].header.request;
  stranger.peers.back()->send(FrameKind::response, number, encode(Response{wall_time(), Empty{}}));
  auto next = call(stranger.listener.address);
  ASSERT_TRUE(stranger.peers.back()->wait_frames(3));
  EXPECT_FALSE(next->result);
  EXPECT_FALSE(stranger.peers.back()->closed);
}

TEST_F(TcpTransportTest, NoHandshake_IsUnreachableOrTimeoutByTheDeadline) {
  Stranger stranger(loop);
  auto pending = call(stranger.listener.address, {}, std::chrono::milliseconds(100));
  ASSERT_TRUE(wait(pending));
  EXPECT_EQ(pending->code(), ErrorCode::timeout);
}

TEST_F(TcpTransportTest, JunkFromTheServer_IsUnreachable) {
  Stranger stranger(loop);
  auto pending = call(stranger.listener.address);
  ASSERT_TRUE(run_until(loop, [&] { return stranger.peers.size() == 1; }));
  stranger.peers.back()->send_bytes("HTTP/1.1 400 Bad Request\r\n\r\n");
  ASSERT_TRUE(wait(pending));
  EXPECT_EQ(pending->code(), ErrorCode::unreachable);
}

TEST_F(TcpTransportTest, ErrorFrame_GivesItsReason) {
  Stranger stranger(loop);
  auto pending = call(stranger.listener.address);
  ASSERT_TRUE(run_until(loop, [&] { return stranger.peers.size() == 1; }));
  stranger.peers.back()->send(FrameKind::error, 0, encode(Error{ErrorCode::version_mismatch, "too new"}));
  ASSERT_TRUE(wait(pending));
  EXPECT_EQ(pending->code(), ErrorCode::version_mismatch);
  EXPECT_NE(pending->result->error().error.context.find("too new"), std::string::npos);
}

TEST_F(TcpTransportTest, RingTime_FollowsWhatTheNodeSays) {
  Stranger stranger(loop);
  Stamp ahead = wall_time() + std::chrono::hours(5);
  auto pending = call(stranger.listener.address);
  stranger.send_handshake(random_uuid(random), ahead);
  ASSERT_TRUE(stranger.peers.back()->wait_frames(2));
  EXPECT_GE(transport.ring_time(), ahead);
  EXPECT_LT(transport.ring_time(), ahead + std::chrono::minutes(1));
  Stamp later = ahead + std::chrono::hours(1);
  stranger.peers.back()->send(FrameKind::response, stranger.peers.back()->frames[1].header.request,
                              encode(Response{later, Empty{}}));
  ASSERT_TRUE(wait(pending));
  EXPECT_GE(transport.ring_time(), later);
}

TEST_F(TcpTransportTest, CancelledCaller_EndsAtOnce) {
  Stranger stranger(loop);
  boost::asio::cancellation_signal signal;
  bool ended = false;
  auto work = transport.call(stranger.listener.address, {}, StatusOperation{}, boot_time() + test_limit);
  boost::asio::co_spawn(
      loop, std::move(work),
      boost::asio::bind_cancellation_slot(signal.slot(), [&](std::exception_ptr, OperationResult) { ended = true; }));
  ASSERT_TRUE(run_until(loop, [&] { return stranger.peers.size() == 1; }));
  signal.emit(boost::asio::cancellation_type::terminal);
  EXPECT_TRUE(run_until(
      loop, [&] { return ended; }, std::chrono::seconds(5)));
}

TEST_F(TcpTransportTest, Stop_EndsCallsWithCancelled) {
  Stranger stranger(loop);
  auto pending = call(stranger.listener.address);
  ASSERT_TRUE(run_until(loop, [&] { return stranger.peers.size() == 1; }));
  transport.stop();
  ASSERT_TRUE(wait(pending));
  EXPECT_EQ(pending->code(), ErrorCode::cancelled);
}

TEST_F(TcpTransportTest, DeadlineInThePast_IsTimeoutWithoutAConnection) {
  Stranger stranger(loop);
  auto pending = call(stranger.listener.address, {}, Duration(-1));
  ASSERT_TRUE(wait(pending));
  EXPECT_EQ(pending->code(), ErrorCode::timeout);
  EXPECT_TRUE(stranger.peers.empty());
}

}  // namespace
}  // namespace ringfs::dht

// The RPC server against well-behaved and other clients.
#include "dht/net/runtime/server.hpp"

#include <gtest/gtest.h>

#include "tests/fuzz/samples.hpp"
#include "tests/unit/net/transport/loopback.hpp"

namespace ringfs::dht {
namespace {

class ServerTest : public testing::Test {
 protected:
  WireMessage status_request() { return encode(Operation(StatusOperation{})); }
  Handshake node_handshake() {
    Handshake handshake = samples::handshake(random);
    handshake.ring = Uuid{};
    handshake.expected = Uuid{};
    handshake.address.clear();
    return handshake;
  }

  // So many, and nothing else.
  void expect_refused(RefusalReason reason, std::uint64_t count = 1) { expect_refused(node, reason, count); }
  static void expect_refused(const TestNode& one, RefusalReason reason, std::uint64_t count = 1) {
    EXPECT_EQ(one.server->counters().refused.count(reason), count);
    EXPECT_EQ(one.server->counters().refused.total(), count);
  }

  boost::asio::io_context loop;
  SeededRandom random{99};
  ServerLimits limits{.handshake = std::chrono::milliseconds(300),
                      .frame = std::chrono::milliseconds(300),
                      .sweep = std::chrono::milliseconds(20)};
  TestNode node{loop, 1, limits};
};

TEST_F(ServerTest, Handshake_TellsWhoAnswers) {
  RawPeer peer(loop, node.address);
  Handshake answer = peer.meet();
  EXPECT_EQ(answer.role, PeerRole::node);
  EXPECT_EQ(answer.node, node.id);
  EXPECT_EQ(answer.incarnation.counter, 1U);
  EXPECT_TRUE(answer.ring.is_nil());
  EXPECT_EQ(answer.address, node.address);
  EXPECT_GT(answer.stamp.microseconds, 0);
}

TEST_F(ServerTest, Status_IsAnsweredWithTheDisk) {
  RawPeer peer(loop, node.address);
  peer.meet();
  peer.send(FrameKind::request, 41, status_request());
  ASSERT_TRUE(peer.wait_frames(1));
  EXPECT_EQ(peer.frames[0].header.request, 41U);
  Result<Response> response = decode_response(peer.frames[0]);
  ASSERT_TRUE(response && response->result);
  const auto& status = std::get<NodeStatus>(*response->result);
  EXPECT_EQ(status.node, node.id);
  EXPECT_EQ(status.disk_free_bytes, 500U);
  EXPECT_EQ(status.disk_id, 7U);
}

TEST_F(ServerTest, ManyRequestsInOneWrite_AreAllAnswered) {
  RawPeer peer(loop, node.address);
  peer.meet();
  for (std::uint64_t i = 1; i <= 3000; ++i) peer.send(FrameKind::request, i, status_request());
  ASSERT_TRUE(peer.wait_frames(3000));
  std::set<std::uint64_t> numbers;
  for (const ReceivedFrame& frame : peer.frames) numbers.insert(frame.header.request);
  EXPECT_EQ(numbers.size(), 3000U);
}

TEST_F(ServerTest, WrongExpectedIdentity_IsRefusedWithWords) {
  RawPeer peer(loop, node.address);
  Handshake handshake = RawPeer::client_handshake();
  handshake.expected = random_uuid(random);
  peer.send_handshake(handshake);
  peer.expect_refused(ErrorCode::wrong_identity);
  expect_refused(RefusalReason::identity);
}

TEST_F(ServerTest, RightExpectedIdentity_IsGreeted) {
  RawPeer peer(loop, node.address);
  Handshake handshake = RawPeer::client_handshake();
  handshake.expected = node.id;
  EXPECT_EQ(peer.meet(handshake).node, node.id);
}

TEST_F(ServerTest, NodeWithOurOwnIdentity_IsRefused) {
  RawPeer peer(loop, node.address);
  Handshake handshake = node_handshake();
  handshake.node = node.id;
  peer.send_handshake(handshake);
  peer.expect_refused(ErrorCode::cloned_identity);
  expect_refused(RefusalReason::identity);
}

TEST_F(ServerTest, OtherFrameVersion_IsToldVersionMismatch) {
  RawPeer peer(loop, node.address);
  std::string frame("RNG1\x02\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", 24);
  peer.send_bytes(frame);
  peer.expect_refused(ErrorCode::version_mismatch);
  expect_refused(RefusalReason::malformed);
}

TEST_F(ServerTest, OtherHandshakeVersion_IsToldVersionMismatch) {
  RawPeer peer(loop, node.address);
  WireMessage handshake = encode(RawPeer::client_handshake());
  ASSERT_EQ(handshake.message.substr(0, 2), std::string("\x08\x01"));  // field 1, version 1
  handshake.message[1] = 2;
  peer.send(FrameKind::handshake, 0, handshake);
  peer.expect_refused(ErrorCode::version_mismatch);
  expect_refused(RefusalReason::malformed);
}

TEST_F(ServerTest, Junk_ClosesAtOnceAndTheNextClientIsServed) {
  for (std::string junk : {std::string("GET / HTTP/1.1\r\n\r\n"), std::string(1, '\0'), std::string(5000, 'x')}) {
    RawPeer peer(loop, node.address);
    peer.send_bytes(junk);
    EXPECT_TRUE(peer.wait_closed());
    EXPECT_TRUE(peer.frames.empty());
  }
  RawPeer peer(loop, node.address);
  EXPECT_EQ(peer.meet().node, node.id);
  expect_refused(RefusalReason::malformed, 3);
}

TEST_F(ServerTest, LargeFrameBeforeTheHandshake_IsRefused) {
  RawPeer peer(loop, node.address);
  peer.send(FrameKind::handshake, 0, {.message = std::string(max_handshake_bytes + 1, 'x'), .payload = {}});
  EXPECT_TRUE(peer.wait_closed());
  expect_refused(RefusalReason::malformed);
}

TEST_F(ServerTest, FrameAboveTheLimit_ClosesTheConnection) {
  RawPeer peer(loop, node.address);
  peer.meet();
  auto header = encode_frame_header(
      {.kind = FrameKind::request, .message_bytes = max_frame_bytes, .payload_bytes = 1, .request = 1});
  peer.send_bytes({header.data(), header.size()});
  EXPECT_TRUE(peer.wait_closed());
  expect_refused(RefusalReason::malformed);
}

TEST_F(ServerTest, RequestBeforeTheHandshake_ClosesTheConnection) {
  RawPeer peer(loop, node.address);
  peer.send(FrameKind::request, 1, status_request());
  EXPECT_TRUE(peer.wait_closed());
  expect_refused(RefusalReason::malformed);
}

TEST_F(ServerTest, RequestThatDoesNotDecode_ClosesTheConnection) {
  RawPeer peer(loop, node.address);
  peer.meet();
  peer.send(FrameKind::request, 1, {.message = "\xff\xff", .payload = {}});
  EXPECT_TRUE(peer.wait_closed());
  expect_refused(RefusalReason::malformed);
}

TEST_F(ServerTest, RequestCutShort_IsNotCarriedOut) {
  {
    RawPeer peer(loop, node.address);
    peer.meet();
    WireMessage request = status_request();
    auto header = encode_frame_header({.kind = FrameKind::request,
                                       .message_bytes = static_cast<std::uint32_t>(request.message.size()),
                                       .payload_bytes = 0,
                                       .request = 1});
    peer.send_bytes(std::string(header.data(), header.size()) + request.message.substr(0, request.message.size() - 1));
  }
  EXPECT_TRUE(run_until(loop, [&] { return node.server->connections() == 0; }));
  EXPECT_EQ(node.server->counters().requests, 0U);
  EXPECT_EQ(node.server->counters().refused.total(), 0U) << "whoever ends is not refused";
}

TEST_F(ServerTest, SilentStranger_IsClosed) {
  RawPeer peer(loop, node.address);
  EXPECT_TRUE(peer.wait_closed());
  expect_refused(RefusalReason::slow);
}

TEST_F(ServerTest, HalfAFrame_IsClosedAfterTheLimit) {
  RawPeer peer(loop, node.address);
  peer.meet();
  peer.send_bytes("RNG1");
  EXPECT_TRUE(peer.wait_closed());
  expect_refused(RefusalReason::slow);
}

TEST_F(ServerTest, IdleClient_StaysConnected) {
  RawPeer peer(loop, node.address);
  peer.meet();
  run_for(loop, std::chrono::milliseconds(700));  // beyond both limits above
  EXPECT_FALSE(peer.closed);
  peer.send(FrameKind::request, 1, status_request());
  EXPECT_TRUE(peer.wait_frames(1));
}

TEST_F(ServerTest, EnvelopeFromAnotherSource_ClosesTheConnection) {
  RawPeer peer(loop, node.address);
  peer.meet(node_handshake());
  peer.send(FrameKind::envelope, 0, encode(samples::envelope(random, TableRequest{})));
  EXPECT_TRUE(peer.wait_closed());
  expect_refused(RefusalReason::malformed);
  EXPECT_EQ(node.server->counters().envelopes, 0U);
}

TEST_F(ServerTest, ClientThatSendsEnvelopes_IsClosed) {
  RawPeer peer(loop, node.address);
  peer.meet();
  peer.send(FrameKind::envelope, 0, encode(samples::envelope(random, TableRequest{})));
  EXPECT_TRUE(peer.wait_closed());
  expect_refused(RefusalReason::malformed);
}

TEST_F(ServerTest, NewConnectionOfAPeer_ReplacesTheOlder) {
  Handshake handshake = node_handshake();
  RawPeer older(loop, node.address), newer(loop, node.address);
  older.meet(handshake);
  newer.meet(handshake);
  EXPECT_TRUE(older.wait_closed());
  EXPECT_FALSE(newer.closed);
}

TEST_F(ServerTest, TooManyConnections_AreRefusedUntilOneLeaves) {
  ServerLimits few = limits;
  few.connections = 2;
  TestNode small(loop, 2, few);
  RawPeer second(loop, small.address);
  {
    RawPeer first(loop, small.address);
    first.meet();
    second.meet();
    RawPeer third(loop, small.address);
    EXPECT_TRUE(third.wait_closed());
    expect_refused(small, RefusalReason::limit);
  }
  ASSERT_TRUE(run_until(loop, [&] { return small.server->connections() == 1; }));
  RawPeer fourth(loop, small.address);
  EXPECT_EQ(fourth.meet().node, small.id);
}

TEST_F(ServerTest, ManyClients_LeaveRoomForNodes) {
  ServerLimits few = limits;
  few.connections = 8;
  few.reserved_for_nodes = 2;
  TestNode small(loop, 2, few);
  std::vector<std::unique_ptr<RawPeer>> clients;
  for (int i = 0; i < 6; ++i) {
    clients.push_back(std::make_unique<RawPeer>(loop, small.address));
    clients.back()->meet();
  }
  RawPeer seventh(loop, small.address);
  seventh.send_handshake(RawPeer::client_handshake());
  seventh.expect_refused(ErrorCode::overloaded);
  expect_refused(small, RefusalReason::limit);
  RawPeer other(loop, small.address);
  EXPECT_EQ(other.meet(node_handshake()).node, small.id);
  clients.pop_back();
  ASSERT_TRUE(run_until(loop, [&] { return small.server->connections() == 6; }));
  RawPeer eighth(loop, small.address);
  EXPECT_EQ(eighth.meet().node, small.id);
}

TEST_F(ServerTest, Drain_ClosesIdleClientsAtOnceAndBusyOnesAfterTheirAnswer) {
  node.storage.hold_writes = true;
  RawPeer idle(loop, node.address), busy(loop, node.address);
  idle.meet();
  busy.meet();
  busy.send(FrameKind::request, 1, encode(Operation(CreateOperation{samples::genesis(random)})));
  ASSERT_TRUE(run_until(loop, [&] { return node.server->counters().requests == 1; }));
  node.server->drain();
  EXPECT_TRUE(idle.wait_closed());
  node.storage.release();
  ASSERT_TRUE(run_until(loop, [&] {
    node.server->drain();
    return busy.closed.has_value();
  }));
  EXPECT_EQ(busy.frames.size(), 1U);
  EXPECT_EQ(node.server->connections(), 0U);
}

TEST_F(ServerTest, SlowReader_StopsBeingReadAndGetsEverythingLater) {
  ServerLimits narrow = limits;
  narrow.queue_bytes = 64 << 10;
  narrow.requests_in_flight = 64;
  TestNode small(loop, 3, narrow);
  RawPeer peer(loop, small.address);
  peer.meet();
  peer.connection->pause_reading();
  constexpr std::uint64_t requests = 100'000;
  for (std::uint64_t i = 1; i <= requests; ++i) peer.send(FrameKind::request, i, status_request());
  // The server stops taking requests, because its answers are not read.
  std::uint64_t before = 0;
  ASSERT_TRUE(run_until(loop, [&] {
    before = small.server->counters().requests;
    run_for(loop, std::chrono::milliseconds(100));
    return before > 0 && small.server->counters().requests == before;
  }));
  EXPECT_LT(before, requests);
  peer.connection->resume_reading();
  EXPECT_TRUE(peer.wait_frames(requests));
}

TEST_F(ServerTest, ClientThatLeaves_CancelsItsOperations) {
  // Held back: the answer to create depends on a write.
  node.storage.hold_writes = true;
  {
    RawPeer peer(loop, node.address);
    peer.meet();
    peer.send(FrameKind::request, 1, encode(Operation(CreateOperation{samples::genesis(random)})));
    peer.send(FrameKind::request, 2, encode(Operation(CreateOperation{samples::genesis(random)})));
    ASSERT_TRUE(run_until(loop, [&] { return node.server->counters().requests == 2; }));
  }
  EXPECT_TRUE(run_until(loop, [&] { return node.server->connections() == 0; }));
  EXPECT_EQ(node.driver->open_operations(), 0U);
}

// It is the client that refuses.
TEST_F(ServerTest, ErrorFrameOfAClient_EndsTheConnectionAndIsNoRefusal) {
  RawPeer peer(loop, node.address);
  peer.meet();
  peer.send(FrameKind::error, 0, encode(Error{ErrorCode::foreign_ring, "not mine"}));
  EXPECT_TRUE(peer.wait_closed());
  EXPECT_EQ(node.server->counters().refused.total(), 0U);
}

TEST_F(ServerTest, NodeWithoutCertificates_ServesNobodyFromOtherMachines) {
  ServerOptions options;
  options.make_stream = refused_streams({ErrorCode::access_denied, "no certificate"});
  TestNode bare(loop, 4, std::move(options));
  RawPeer peer(loop, bare.address);
  EXPECT_TRUE(peer.wait_closed());
  expect_refused(bare, RefusalReason::no_tls);
}

TEST_F(ServerTest, RequestNumberInUse_ClosesTheConnection) {
  RawPeer peer(loop, node.address);
  peer.meet();
  peer.send(FrameKind::request, 1, status_request());
  peer.send(FrameKind::request, 1, status_request());
  EXPECT_TRUE(peer.wait_closed());
  expect_refused(RefusalReason::malformed);
}

TEST_F(ServerTest, FormerAddress_IsServedUntilItEnds_AndItsConnectionsStay) {
  Result<Listener> own = listen_on(loop, "127.0.0.1:0"), former = listen_on(loop, "127.0.0.1:0");
  ASSERT_TRUE(own && former);
  const std::string at = former->address;
  ServerOptions options;
  options.limits = limits;
  Server server(loop, *node.driver, std::move(*own), std::move(options));
  server.listen_at_former(std::move(*former));
  server.start();
  RawPeer peer(loop, at);
  EXPECT_EQ(peer.meet().node, node.id);

  server.end_former();
  std::optional<Result<Socket>> again;
  const std::shared_ptr<Dial> attempt =
      dial(loop.get_executor(), at, test_limit, [&](Result<Socket> socket) { again = std::move(socket); });
  ASSERT_TRUE(run_until(loop, [&] { return again.has_value(); }));
  EXPECT_FALSE(*again);
  peer.send(FrameKind::request, 1, status_request());
  EXPECT_TRUE(peer.wait_frames(1));
  EXPECT_EQ(RawPeer(loop, server.address()).meet().node, node.id);
}

}  // namespace
}  // namespace ringfs::dht

// Links to peers: queues, back-off, identities.
#include "dht/net/transport/peer.hpp"

#include <gtest/gtest.h>

#include "tests/fuzz/samples.hpp"
#include "tests/unit/net/transport/loopback.hpp"

namespace ringfs::dht {
namespace {

class PeersTest : public testing::Test, public Peers::Listener {
 protected:
  Handshake own_handshake(const Uuid& expected) override {
    Handshake handshake = samples::handshake(random);
    handshake.expected = expected;
    return handshake;
  }
  std::string address_of(const Uuid&) override { return address; }
  Status check_peer(const Handshake&) override { return {}; }
  void peer_accepted(const Uuid& accepted) override { EXPECT_EQ(accepted, peer); }
  void identity_refused(const Uuid& refused_by, const Error& why) override {
    EXPECT_EQ(refused_by, peer);
    EXPECT_EQ(why.code, ErrorCode::cloned_identity);
    ++refusals;
  }
  void peer_lost(const Uuid& lost) override {
    EXPECT_EQ(lost, peer);
    ++losses;
  }

  void accept() {
    listener->acceptor.async_accept([this](boost::system::error_code error, boost::asio::ip::tcp::socket socket) {
      if (error) return;
      remotes.push_back(std::make_unique<RawPeer>(loop));
      remotes.back()->take(std::move(socket));
      accept();
    });
  }
  void listen(const std::string& at = "127.0.0.1:0") {
    listener = std::make_unique<dht::Listener>(*listen_on(loop, at));
    address = listener->address;
    accept();
  }
  void hang_up() {
    listener.reset();
    remotes.clear();
  }
  // Answers the handshake on the newest connection, as `id`.
  void send_handshake(const Uuid& id) {
    ASSERT_TRUE(run_until(loop, [this] { return !remotes.empty() && !remotes.back()->frames.empty(); }));
    Handshake handshake = samples::handshake(random);
    handshake.node = id;
    remotes.back()->send_handshake(handshake);
  }
  void send(Message message = TableRequest{}) {
    Envelope envelope = samples::envelope(random, std::move(message));
    envelope.header.destination = peer;
    peers.send(envelope);
  }

  boost::asio::io_context loop;
  SeededRandom random{12};
  Uuid peer = random_uuid(random);
  std::string address;
  std::unique_ptr<dht::Listener> listener;
  std::vector<std::unique_ptr<RawPeer>> remotes;
  int losses = 0, refusals = 0;
  PeerLimits limits{.queue_bytes = 100'000,
                    .handshake = std::chrono::milliseconds(200),
                    .first_back_off = std::chrono::milliseconds(10),
                    .last_back_off = std::chrono::milliseconds(40)};
  Flusher flusher{loop.get_executor()};
  Peers peers{loop.get_executor(), *this, flusher, random, limits};
};

TEST_F(PeersTest, EnvelopesBeforeTheHandshake_AreSentInOrderAfterIt) {
  listen();
  for (std::uint64_t i = 1; i <= 5; ++i) send(ChordFind{i, samples::position(random)});
  send_handshake(peer);
  ASSERT_TRUE(remotes.back()->wait_frames(6));
  Result<Handshake> handshake = decode_handshake(remotes.back()->frames[0]);
  ASSERT_TRUE(handshake);
  EXPECT_EQ(handshake->expected, peer);
  for (std::uint64_t i = 1; i <= 5; ++i) {
    Result<Envelope> envelope = decode_envelope(remotes.back()->frames[i]);
    ASSERT_TRUE(envelope);
    EXPECT_EQ(std::get<ChordFind>(envelope->message).request, i);
  }
  EXPECT_EQ(losses, 0);
}

TEST_F(PeersTest, NobodyListens_IsReportedAndTriedAgainLater) {
  { address = listen_on(loop, "127.0.0.1:0")->address; }
  send();
  ASSERT_TRUE(run_until(loop, [this] { return losses == 1; }));
  send();  // within the back-off: dropped, not tried
  EXPECT_EQ(peers.counters().dropped, 2U);
  listen(address);
  ASSERT_TRUE(run_until(loop, [this] {
    send();
    run_for(loop, std::chrono::milliseconds(5));
    return !remotes.empty();
  }));
  send_handshake(peer);
  EXPECT_TRUE(remotes.back()->wait_frames(2));
}

TEST_F(PeersTest, UnknownAddress_IsReported) {
  send();
  EXPECT_EQ(losses, 1);
}

TEST_F(PeersTest, BrokenConnection_IsReportedAtOnceAndMadeAgain) {
  listen();
  send();
  send_handshake(peer);
  ASSERT_TRUE(remotes.back()->wait_frames(2));
  std::string same = address;
  hang_up();
  ASSERT_TRUE(run_until(loop, [this] { return losses == 1; }));
  listen(same);
  ASSERT_TRUE(run_until(loop, [this] {
    send();
    run_for(loop, std::chrono::milliseconds(5));
    return !remotes.empty();
  }));
}

TEST_F(PeersTest, IdentityRefused_IsToldAndNothingElseIs) {
  listen();
  send();
  ASSERT_TRUE(run_until(loop, [this] { return !remotes.empty() && !remotes.back()->frames.empty(); }));
  remotes.back()->send(FrameKind::error, 0, encode(Error{ErrorCode::overloaded, "too many"}));
  ASSERT_TRUE(run_until(loop, [this] { return losses == 1; }));
  EXPECT_EQ(refusals, 0);
  ASSERT_TRUE(run_until(loop, [this] {
    send();
    run_for(loop, std::chrono::milliseconds(5));
    return remotes.size() == 2 && !remotes.back()->frames.empty();
  }));
  remotes.back()->send(FrameKind::error, 0, encode(Error{ErrorCode::cloned_identity, "another process"}));
  ASSERT_TRUE(run_until(loop, [this] { return losses == 2; }));
  EXPECT_EQ(refusals, 1);
}

TEST_F(PeersTest, AnotherNodeAnswers_IsReportedAndNothingIsSentToIt) {
  listen();
  send();
  send_handshake(random_uuid(random));
  ASSERT_TRUE(run_until(loop, [this] { return losses == 1; }));
  ASSERT_TRUE(remotes.back()->wait_closed());
  EXPECT_EQ(remotes.back()->frames.size(), 1U);  // the handshake
}

TEST_F(PeersTest, NoHandshake_IsReportedAfterTheLimit) {
  listen();
  send();
  EXPECT_TRUE(run_until(loop, [this] { return losses == 1; }));
}

TEST_F(PeersTest, FullQueue_DropsAndStaysBounded) {
  listen();
  SnapshotChunk chunk = samples::snapshot(random);
  chunk.blobs = {SharedBytes(std::string(30'000, 'x'))};
  for (int i = 0; i < 10; ++i) send(chunk);
  EXPECT_GE(peers.counters().dropped, 7U);
  send_handshake(peer);
  ASSERT_TRUE(remotes.back()->wait_frames(3));
  EXPECT_TRUE(run_until(loop, [this] {
    send();
    return peers.counters().sent >= 10;
  }));
}

TEST_F(PeersTest, PeerSeenAtAnotherAddress_IsConnectedToThereAtOnce) {
  { address = listen_on(loop, "127.0.0.1:0")->address; }
  std::string stale = address;
  send();
  ASSERT_TRUE(run_until(loop, [this] { return losses == 1; }));
  listen();
  std::string fresh = address;
  address = stale;  // what the table says
  peers.peer_seen(peer, fresh);
  send();
  EXPECT_TRUE(run_until(loop, [this] { return !remotes.empty(); }));
}

}  // namespace
}  // namespace ringfs::dht

// How a connection reads from its stream.
#include "dht/net/transport/frame_connection.hpp"

#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <cstring>

namespace ringfs::dht {
namespace {

// What the test puts in is what arrives.
class ScriptedStream : public Stream {
 public:
  explicit ScriptedStream(ScriptedStream*& self) { self = this; }
  IoResult read_some(char* into, std::size_t size) override {
    ++reads;
    if (input.empty()) return {.state = IoResult::State::would_block};
    std::size_t count = std::min(size, input.size());
    std::memcpy(into, input.data(), count);
    input.erase(0, count);
    return {.state = IoResult::State::done, .bytes = count, .drained = tells_drained && count < size};
  }
  IoResult write_some(std::span<const iovec> pieces) override {
    ++writes;
    std::size_t bytes = 0;
    for (const iovec& piece : pieces) bytes += piece.iov_len;
    return {.state = IoResult::State::done, .bytes = bytes};
  }
  void wait_readable(Ready ready) override { readable = std::move(ready); }
  void wait_writable(Ready) override {}
  void close() override { readable = nullptr; }  // which holds the connection

  void arrive(std::string_view bytes) {
    input.append(bytes);
    if (readable) std::exchange(readable, {})();
  }

  std::string input;
  Ready readable;
  bool tells_drained = false;
  int reads = 0;
  int writes = 0;
};

class FrameConnectionTest : public testing::Test, public FrameConnection::Owner {
 protected:
  FrameConnectionTest() {
    connection = std::make_shared<FrameConnection>(std::make_unique<ScriptedStream>(stream), *this, flusher);
    connection->set_frame_limit(max_frame_bytes);
    connection->start();
  }
  ~FrameConnectionTest() override { connection->close(); }
  void frame_received(FrameConnection&, ReceivedFrame frame) override { frames.push_back(std::move(frame)); }
  void connection_closed(FrameConnection&, const Error&) override { closed = true; }

  static std::string header(std::size_t payload_bytes) {
    auto bytes = encode_frame_header({.kind = FrameKind::request,
                                      .message_bytes = 0,
                                      .payload_bytes = static_cast<std::uint32_t>(payload_bytes),
                                      .request = 1});
    return {bytes.data(), bytes.size()};
  }

  boost::asio::io_context loop;
  Flusher flusher{loop.get_executor()};
  ScriptedStream* stream = nullptr;
  std::shared_ptr<FrameConnection> connection;
  std::vector<ReceivedFrame> frames;
  bool closed = false;
};

TEST_F(FrameConnectionTest, HeaderThatClaimsMuch_CostsOnlyWhatArrives) {
  stream->arrive(header(max_frame_bytes));
  EXPECT_LE(connection->partial_bytes(), 256U << 10);
  stream->arrive(std::string(300 << 10, 'x'));
  EXPECT_LE(connection->partial_bytes(), 1U << 20);
  EXPECT_TRUE(frames.empty());
  EXPECT_FALSE(closed);
}

TEST_F(FrameConnectionTest, StreamThatSaysItIsDrained_IsNotReadAgainBeforeItIsReadable) {
  stream->arrive(header(100) + std::string(100, 'x'));
  EXPECT_EQ(stream->reads, 2);  // it may hold something back
  stream->tells_drained = true;
  stream->arrive(header(100) + std::string(100, 'x'));
  EXPECT_EQ(stream->reads, 3);
  stream->arrive(header(100) + std::string(40, 'x'));
  EXPECT_EQ(stream->reads, 4);
  stream->arrive(std::string(60, 'x'));
  EXPECT_EQ(stream->reads, 6);  // all the room was filled: there may be more
  EXPECT_EQ(frames.size(), 3U);
}

TEST_F(FrameConnectionTest, FramesOfOneTurn_LeaveTogether) {
  auto send = [&] { connection->send(FrameKind::envelope, 0, {}); };
  send();
  send();
  EXPECT_EQ(stream->writes, 0);
  loop.poll();
  EXPECT_EQ(stream->writes, 1);
}

TEST_F(FrameConnectionTest, FramesUnderAHold_LeaveAtItsEndWithoutAnotherTurn) {
  {
    Flusher::Hold hold(flusher);
    connection->send(FrameKind::envelope, 0, {});
    connection->send(FrameKind::envelope, 0, {});
    EXPECT_EQ(stream->writes, 0);
  }
  EXPECT_EQ(stream->writes, 1);
  EXPECT_EQ(loop.poll(), 0U);
  connection->send(FrameKind::envelope, 0, {});
  loop.restart();
  EXPECT_EQ(loop.poll(), 1U);
  EXPECT_EQ(stream->writes, 2);
}

TEST_F(FrameConnectionTest, BodyOfAnySizeInAnyPieces_ArrivesWhole) {
  for (std::size_t size :
       {std::size_t{0}, std::size_t{1}, std::size_t{16 << 10}, std::size_t{(128 << 10) - 1}, std::size_t{128 << 10},
        std::size_t{(128 << 10) + 1}, std::size_t{1 << 20}, max_frame_bytes}) {
    for (std::size_t piece : {std::size_t{1000}, std::size_t{64 << 10}, size + frame_header_bytes}) {
      frames.clear();
      std::string body(size, 0);
      for (std::size_t i = 0; i < size; ++i) body[i] = static_cast<char>(i % 251);
      std::string all = header(size) + body;
      for (std::size_t at = 0; at < all.size(); at += piece) stream->arrive(std::string_view(all).substr(at, piece));
      ASSERT_EQ(frames.size(), 1U) << size << " in pieces of " << piece;
      EXPECT_TRUE(frames[0].body.view() == body) << size << " in pieces of " << piece;
      EXPECT_EQ(connection->partial_since(), never);
    }
  }
}

}  // namespace
}  // namespace ringfs::dht

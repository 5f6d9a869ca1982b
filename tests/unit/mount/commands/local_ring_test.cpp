// ring.json, the ready line, and the state directory.
#include "mount/commands/local_ring.hpp"

#include <sys/file.h>

#include <cstdlib>
#include <fstream>

#include <gtest/gtest.h>

#include "tests/support/scratch_directory.hpp"

namespace ringfs::mount {
namespace {

LocalRing example() {
  LocalRing ring;
  ring.ring.bytes[0] = 1;
  ring.created = true;
  ring.mount_point = "/mnt/with space";
  ring.replication = 2;
  ring.nodes.resize(2);
  ring.nodes[0] = LocalNode{1, "127.0.0.1:4000", "127.0.0.1:3000", Uuid{}, std::nullopt};
  ring.nodes[0].id->bytes[15] = 9;
  ring.nodes[1] = LocalNode{2, "127.0.0.1:0", "127.0.0.1:0", std::nullopt, Uuid{}};
  ring.nodes[1].replaces->bytes[3] = 7;
  return ring;
}

class LocalRingTest : public testing::Test {
 protected:
  const ScratchDirectory directory_{"local"};
};

TEST(LocalRingFile, Ring_EncodedAndDecoded_IsTheSame) {
  const LocalRing ring = example();
  const auto decoded = decode_local_ring(encode_local_ring(ring));
  ASSERT_TRUE(decoded) << decoded.error().text();
  EXPECT_EQ(decoded->ring, ring.ring);
  EXPECT_TRUE(decoded->created);
  EXPECT_EQ(decoded->mount_point, ring.mount_point);
  EXPECT_EQ(decoded->replication, 2U);
  ASSERT_EQ(decoded->nodes.size(), 2U);
  EXPECT_EQ(decoded->nodes[0].id, ring.nodes[0].id);
  EXPECT_FALSE(decoded->nodes[1].id);
  EXPECT_EQ(decoded->addresses(), (std::vector<std::string>{"127.0.0.1:4000", "127.0.0.1:0"}));
}

TEST(LocalRingFile, EveryTruncation_IsAnErrorAndNothingElse) {
  const std::string text = encode_local_ring(example());
  for (std::size_t size = 0; size + 2 < text.size(); ++size)
    EXPECT_FALSE(decode_local_ring(text.substr(0, size))) << size;
}

TEST(LocalRingFile, WrongContents_AreRefused) {
  const std::string good = encode_local_ring(example());
  const auto with = [&good](const std::string& from, const std::string& to) {
    std::string text = good;
    text.replace(text.find(from), from.size(), to);
    return decode_local_ring(text);
  };
  EXPECT_EQ(with("\"format\": 1", "\"format\": 2").error().code, ErrorCode::version_mismatch);
  EXPECT_EQ(with("\"number\": 2", "\"number\": 1").error().code, ErrorCode::corrupt);
  EXPECT_TRUE(with("\"number\": 2", "\"number\": 3")) << "one between them was removed";
  EXPECT_EQ(with("127.0.0.1:4000", "nowhere").error().code, ErrorCode::corrupt);
  EXPECT_EQ(with("01000000-", "zz000000-").error().code, ErrorCode::corrupt);
  EXPECT_EQ(decode_local_ring("[]").error().code, ErrorCode::corrupt);
  EXPECT_EQ(decode_local_ring(std::string(100000, '[')).error().code, ErrorCode::corrupt);
}

TEST(ReadyLineText, OfANode_IsUnderstood) {
  const auto ready =
      parse_ready_line("ready node=00000000-0000-0000-0000-000000000009 rpc=127.0.0.1:4001 rest=[::1]:3001");
  ASSERT_TRUE(ready);
  EXPECT_EQ(ready->id.bytes[15], 9);
  EXPECT_EQ(ready->rpc, "127.0.0.1:4001");
  EXPECT_EQ(ready->rest, "[::1]:3001");
}

TEST(ReadyLineText, OfAnythingElse_IsNone) {
  for (const char* line :
       {"", "ready", "ready node=x rpc=a:1 rest=b:2", "already node=00000000-0000-0000-0000-000000000009",
        "ready node=00000000-0000-0000-0000-000000000009 rpc=127.0.0.1:4001",
        "ready node=00000000-0000-0000-0000-000000000009 rest=127.0.0.1:4001 rpc=a:1"}) {
    EXPECT_FALSE(parse_ready_line(line)) << line;
  }
}

TEST_F(LocalRingTest, State_SavedAndLoaded_IsThereAndTheDamagedOneSaysSo) {
  StateDirectory state(directory_ / "deep/er");
  EXPECT_EQ(state.load().error().code, ErrorCode::not_found);
  ASSERT_TRUE(state.lock());
  ASSERT_TRUE(state.save(example()));
  ASSERT_TRUE(state.load());
  std::ofstream(state.ring_file()) << "{\"format\": 1";
  const auto damaged = state.load();
  ASSERT_FALSE(damaged);
  EXPECT_EQ(damaged.error().code, ErrorCode::corrupt);
  EXPECT_NE(damaged.error().context.find("is damaged"), std::string::npos);
}

// If it were taken for a state without a ring, `up` would make another one.
TEST_F(LocalRingTest, State_ThatCannotBeRead_IsNoStateWithoutARing) {
  StateDirectory state(directory_.path);
  std::filesystem::create_directory(state.ring_file());
  const auto unreadable = state.load();  // opens, and each read fails
  ASSERT_FALSE(unreadable);
  EXPECT_EQ(unreadable.error().code, ErrorCode::io_error);
  EXPECT_NE(unreadable.error().context.find("Is a directory"), std::string::npos) << unreadable.error().context;
  std::filesystem::remove(state.ring_file());
  std::filesystem::create_symlink("ring.json", state.ring_file());
  const auto circle = state.load();
  ASSERT_FALSE(circle);
  EXPECT_EQ(circle.error().code, ErrorCode::io_error) << circle.error().context;
}

TEST_F(LocalRingTest, State_InAPlaceThatIsAFile_CannotBeLocked) {
  std::ofstream(directory_ / "file") << "x";
  StateDirectory state(directory_ / "file/ring");
  const Status locked = state.lock();
  ASSERT_FALSE(locked);
  EXPECT_EQ(locked.error().code, ErrorCode::io_error);
}

TEST(DefaultState, Environment_Decides) {
  ::setenv("XDG_STATE_HOME", "/somewhere", 1);
  EXPECT_EQ(default_state_directory(), "/somewhere/ringfs/default");
  ::setenv("XDG_STATE_HOME", "relative/is/ignored", 1);
  ::setenv("HOME", "/home/me", 1);
  EXPECT_EQ(default_state_directory(), "/home/me/.local/state/ringfs/default");
}

}  // namespace
}  // namespace ringfs::mount

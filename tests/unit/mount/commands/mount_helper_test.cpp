// Calls by mount(8) and mount.fuse3.
#include "mount/commands/mount_helper.hpp"

#include <gtest/gtest.h>

namespace ringfs::mount {
namespace {

using Words = std::vector<std::string>;

const Words commands = {"up", "mount", "status"};

Words translated(const Words& words) {
  const Result<std::optional<HelperCall>> call = parse_helper_call(words, commands);
  EXPECT_TRUE(call && *call);
  return call && *call ? (*call)->arguments : Words{};
}

TEST(MountHelper, CommandsOfRingfs_AreLeftAlone) {
  for (const Words& words :
       {Words{"ringfs"}, Words{"ringfs", "status"}, Words{"ringfs", "mount", "h:1", "/mnt"}, Words{"ringfs", "h:1"},
        Words{"/usr/bin/ringfs", "--version"}, Words{"ringfs", "typo", "x"}}) {
    const Result<std::optional<HelperCall>> call = parse_helper_call(words, commands);
    ASSERT_TRUE(call);
    EXPECT_FALSE(*call);
  }
}

TEST(MountHelper, CallsOfMount8_BecomeRingfsMount) {
  EXPECT_EQ(translated({"/sbin/mount.ringfs", "h:1,i:2", "/mnt", "-nv", "-o", "rw,noatime", "-t", "ringfs"}),
            (Words{"/sbin/mount.ringfs", "mount", "h:1,i:2", "/mnt", "-o", "rw,noatime"}));
  EXPECT_EQ(translated({"mount.fuse.ringfs", "h:1", "/mnt", "-r"}),
            (Words{"mount.fuse.ringfs", "mount", "h:1", "/mnt", "-o", "ro"}));
  // mount.fuse3 runs the program itself.
  EXPECT_EQ(translated({"ringfs", "h:1", "/mnt", "-o", "rw,dev,suid"}),
            (Words{"ringfs", "mount", "h:1", "/mnt", "-o", "rw,dev,suid"}));
}

TEST(MountHelper, Sloppy_LeavesOutWhatIsNotKnown) {
  EXPECT_EQ(translated({"mount.ringfs", "h:1", "/mnt", "-s", "-o", "ro,fancy=1,noexec"}),
            (Words{"mount.ringfs", "mount", "h:1", "/mnt", "-o", "ro,noexec"}));
}

TEST(MountHelper, Fake_IsSaid) {
  const Result<std::optional<HelperCall>> call = parse_helper_call({"mount.ringfs", "h:1", "/mnt", "-f"}, commands);
  ASSERT_TRUE(call && *call);
  EXPECT_TRUE((*call)->fake);
}

TEST(MountHelper, Malformed_IsRefused) {
  for (const Words& words :
       {Words{"mount.ringfs"}, Words{"mount.ringfs", "h:1"}, Words{"mount.ringfs", "h:1", "/mnt", "-o"},
        Words{"mount.ringfs", "h:1", "/mnt", "-x"}, Words{"mount.ringfs", "h:1", "/mnt", "more"}}) {
    const Result<std::optional<HelperCall>> call = parse_helper_call(words, commands);
    ASSERT_FALSE(call);
    EXPECT_EQ(call.error().code, ErrorCode::invalid_argument);
  }
}

}  // namespace
}  // namespace ringfs::mount

// Texts of /proc/self/mountinfo.
#include "mount/commands/mount_table.hpp"

#include <gtest/gtest.h>

namespace ringfs::mount {
namespace {

TEST(MountTable, Lines_WithOptionalFieldsAndEscapes_AreParsed) {
  const auto entries = parse_mount_table(
      "22 27 0:20 / /sys rw,nosuid shared:7 - sysfs sysfs rw\n"
      "97 27 0:45 / /home/me/my\\040ring rw,nosuid,nodev shared:51 master:3 - fuse.ringfs ringfs rw,user_id=0\n"
      "98 27 0:46 / /a\\134b rw - fuse.ringfs ring\\011fs rw\n");
  ASSERT_EQ(entries.size(), 3U);
  EXPECT_EQ(entries[0].type, "sysfs");
  EXPECT_EQ(entries[1].device, "0:45");
  EXPECT_EQ(entries[1].mount_point, "/home/me/my ring");
  EXPECT_EQ(entries[1].type, ringfs_mount_type);
  EXPECT_EQ(entries[2].mount_point, "/a\\b");
  EXPECT_EQ(entries[2].source, "ring\tfs");
}

TEST(MountTable, Lines_CutShort_AreLeftOut) {
  EXPECT_TRUE(parse_mount_table("").empty());
  EXPECT_TRUE(parse_mount_table("97 27 0:45 / /home\n\n97\n97 27 0:45 / /home rw shared:1 -\n").empty());
}

TEST(MountTable, Proc_OfThisMachine_IsMounted) {
  EXPECT_TRUE(mount_at("/proc").value());  // the root is not, inside a chroot
  EXPECT_FALSE(mount_at("/no/such/mount/point").value());
  EXPECT_FALSE(ringfs_mount_of("/proc/self").value());
}

}  // namespace
}  // namespace ringfs::mount

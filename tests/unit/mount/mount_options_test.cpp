#include "mount/mount_options.hpp"

#include <gtest/gtest.h>

namespace ringfs {
namespace {

TEST(MountOptions, Defaults_AreSafe) {
  const MountOptions options;
  EXPECT_EQ(options.cached_seconds, 0);
  const auto arguments = options.fuse_arguments();
  ASSERT_EQ(arguments.size(), 2U);
  EXPECT_EQ(arguments[1], "default_permissions,nosuid,nodev,fsname=ringfs,subtype=ringfs");
}

TEST(MountOptions, List_WithEverything_IsApplied) {
  MountOptions options;
  ASSERT_TRUE(apply_mount_options("allow_other,ro,nosuid,show_ring,cached=1.5,op_timeout=7", options));
  EXPECT_TRUE(options.allow_other);
  EXPECT_TRUE(options.read_only);
  EXPECT_TRUE(options.show_ring);
  EXPECT_EQ(options.cached_seconds, 1.5);
  EXPECT_EQ(options.operation_timeout_seconds, 7u);
  EXPECT_NE(options.fuse_arguments()[1].find(",allow_other,ro"), std::string::npos);
}

TEST(MountOptions, Empty_ChangesNothing) {
  MountOptions options;
  EXPECT_TRUE(apply_mount_options("", options));
  EXPECT_FALSE(options.allow_other);
}

TEST(MountOptions, UnknownOrMalformed_IsRefusedByName) {
  for (const char* text : {"suid", "allow_other=1", "cached", "cached=", "cached=-1", "cached=1x", "cached=nan",
                           "op_timeout=0", "ro,fancy", "default_permissions=0"}) {
    MountOptions options;
    const Status status = apply_mount_options(text, options);
    ASSERT_FALSE(status) << text;
    EXPECT_EQ(status.error().code, ErrorCode::invalid_argument);
  }
  MountOptions options;
  EXPECT_NE(apply_mount_options("ro,fancy", options).error().context.find("'fancy'"), std::string::npos);
}

TEST(MountOptions, OperationTimeout_BeyondTheLifeOfAChange_IsRefused) {
  MountOptions options;
  EXPECT_TRUE(apply_mount_options("op_timeout=50", options));
  const Status status = apply_mount_options("op_timeout=51", options);
  ASSERT_FALSE(status);
  EXPECT_NE(status.error().context.find("1 to 50"), std::string::npos) << status.error().context;
}

}  // namespace
}  // namespace ringfs

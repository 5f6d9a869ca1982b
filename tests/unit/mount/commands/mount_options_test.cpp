// The words of -o.
#include "mount/commands/mount_options.hpp"

#include <gtest/gtest.h>

namespace ringfs::mount {
namespace {

TEST(MountOptions, Cache_IsAttributesUnlessAnotherIsSaid) {
  MountOptions options;
  EXPECT_EQ(options.cache, KernelCaches::attributes);
  ASSERT_TRUE(apply_mount_options("cache=none", options));
  EXPECT_EQ(options.cache, KernelCaches::none);
  ASSERT_TRUE(apply_mount_options("cache=full", options));
  EXPECT_EQ(options.cache, KernelCaches::full);
  ASSERT_TRUE(apply_mount_options("cache=attributes", options));
  EXPECT_EQ(options.cache, KernelCaches::attributes);
  const Status wrong = apply_mount_options("cache=everything", options);
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().context, "-o cache= takes full, attributes or none, not 'everything'");
}

TEST(MountOptions, Defaults_AreSafe) {
  const MountOptions options;
  EXPECT_EQ(options.cached_seconds, 0);
  const auto arguments = options.fuse_arguments();
  ASSERT_EQ(arguments.size(), 2U);
  EXPECT_EQ(arguments[1], "default_permissions,subtype=ringfs,fsname=ringfs,nosuid,nodev");
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
  for (const char* text :
       {"allow_other=1", "noatime=1", "fsname", "fsname=", "subtype=other", "strictatime", "bind", "cached",
        "cached=", "cached=-1", "cached=1x", "cached=nan", "op_timeout=0", "ro,fancy", "default_permissions=0"}) {
    MountOptions options;
    const Status status = apply_mount_options(text, options);
    ASSERT_FALSE(status) << text;
    EXPECT_EQ(status.error().code, ErrorCode::invalid_argument);
  }
  MountOptions options;
  EXPECT_NE(apply_mount_options("ro,fancy", options).error().context.find("'fancy'"), std::string::npos);
}

TEST(MountOptions, WordsOfMount8_ReachTheKernel) {
  MountOptions options;
  ASSERT_TRUE(apply_mount_options("dev,suid,noexec,noatime,sync,dirsync,ro", options));
  EXPECT_TRUE(options.synchronous);
  EXPECT_EQ(options.fuse_arguments()[1],
            "default_permissions,subtype=ringfs,fsname=ringfs,suid,dev,noexec,noatime,sync,dirsync,ro");
  // The last word counts.
  ASSERT_TRUE(apply_mount_options("nodev,nosuid,exec,relatime,async,rw", options));
  EXPECT_EQ(options.fuse_arguments()[1], "default_permissions,subtype=ringfs,fsname=ringfs,nosuid,nodev,dirsync");
}

TEST(MountOptions, WordsForMount8AndInit_AreTheirs) {
  MountOptions options;
  const std::string before = options.fuse_arguments()[1];
  ASSERT_TRUE(apply_mount_options(
      "defaults,_netdev,user,users,nouser,owner,group,auto,noauto,nofail,x-systemd.automount,X-mine,comment=it,"
      "user=alice",
      options));
  EXPECT_EQ(options.fuse_arguments()[1], before);
}

TEST(MountOptions, Source_IsTheNodesOrTheNameGiven) {
  EXPECT_EQ(source_of("10.0.0.1:4000,10.0.0.2:4000"), "10.0.0.1:4000,10.0.0.2:4000");
  std::string many = "10.0.0.1:4000";
  for (int i = 2; i < 20; ++i) many += ",10.0.0." + std::to_string(i) + ":4000";
  EXPECT_EQ(source_of(many), "10.0.0.1:4000,10.0.0.2:4000,10.0.0.3:4000,10.0.0.4:4000");
  const std::string host(200, 'h');
  EXPECT_EQ(source_of(host + ":1,b:2"), host + ":1");
  EXPECT_EQ(source_of(host + ":1"), host + ":1");
  MountOptions options;
  options.source = "a:1,b:2";
  EXPECT_NE(options.fuse_arguments()[1].find("fsname=a:1\\,b:2,"), std::string::npos);
  ASSERT_TRUE(apply_mount_options("fsname=shared", options));
  EXPECT_EQ(options.source, "shared");
}

TEST(MountOptions, DevicesAndSetUserId_AreForRoot) {
  MountOptions options;
  EXPECT_TRUE(check_privileged_options(options, false));
  ASSERT_TRUE(apply_mount_options("dev", options));
  EXPECT_TRUE(check_privileged_options(options, true));
  const Status refused = check_privileged_options(options, false);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::not_permitted);
}

TEST(MountOptions, OperationTimeout_BeyondTheLifeOfAChange_IsRefused) {
  MountOptions options;
  EXPECT_TRUE(apply_mount_options("op_timeout=50", options));
  const Status status = apply_mount_options("op_timeout=51", options);
  ASSERT_FALSE(status);
  EXPECT_NE(status.error().context.find("1 to 50"), std::string::npos) << status.error().context;
}

TEST(MountOptions, FilesOfAnOperatorsAuthority_AreTaken) {
  MountOptions options;
  ASSERT_TRUE(apply_mount_options("tls_ca=/etc/ca.pem,tls_certificate=laptop.pem", options));
  EXPECT_FALSE(options.tls.check("-o tls_")) << "the key is missing";
  ASSERT_TRUE(apply_mount_options("tls_key=laptop.key", options));
  EXPECT_TRUE(options.tls.check("-o tls_"));
  EXPECT_EQ(options.tls.authorities, "/etc/ca.pem");
  EXPECT_EQ(options.tls.certificate, "laptop.pem");
  EXPECT_EQ(options.tls.key, "laptop.key");
  const Status empty = apply_mount_options("tls_key=", options);
  ASSERT_FALSE(empty);
  EXPECT_NE(empty.error().context.find("tls_key=FILE"), std::string::npos);
}

}  // namespace
}  // namespace ringfs::mount

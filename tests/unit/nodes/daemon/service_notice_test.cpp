// Notices for systemd, received as systemd does.
#include "nodes/daemon/service_notice.hpp"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <cstddef>
#include <cstdlib>
#include <cstring>

#include "dht/base/descriptor.hpp"
#include "tests/support/scratch_directory.hpp"

namespace ringfs::nodes {
namespace {

// A socket of this name, '@' for the abstract namespace.
Descriptor receiver_at(const std::string& name) {
  Descriptor receiver(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, name.data(), name.size());
  if (name[0] == '@') address.sun_path[0] = '\0';
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size());
  EXPECT_EQ(::bind(receiver.value, reinterpret_cast<const sockaddr*>(&address), size), 0) << std::strerror(errno);
  return receiver;
}

// What has come, at once; empty when nothing has.
std::string received(const Descriptor& receiver) {
  std::array<char, 256> buffer{};
  const ssize_t size = ::recv(receiver.value, buffer.data(), buffer.size(), MSG_DONTWAIT);
  return size < 0 ? std::string() : std::string(buffer.data(), static_cast<std::size_t>(size));
}

TEST(ServiceNotice, PathAndAbstractName_GetTheDatagram) {
  const ScratchDirectory scratch("notice");
  for (const std::string& name : {(scratch / "notify").string(), "@ringfs-test/" + scratch.path.filename().string()}) {
    const Descriptor receiver = receiver_at(name);
    ASSERT_TRUE(send_notice(name, "READY=1\nSTATUS=Node x")) << name;
    EXPECT_EQ(received(receiver), "READY=1\nSTATUS=Node x");
    EXPECT_EQ(received(receiver), "");
  }
}

TEST(ServiceNotice, NameThatIsNoSocket_IsAnError) {
  const ScratchDirectory scratch("notice");
  for (const std::string& name : {std::string(), std::string("@"), std::string("vsock:2:1234"), std::string(200, '/')})
    EXPECT_EQ(send_notice(name, "READY=1").error().code, ErrorCode::invalid_argument) << name;
  EXPECT_EQ(send_notice((scratch / "nobody").string(), "READY=1").error().code, ErrorCode::io_error);
}

TEST(ServiceNotice, EnvironmentNamesTheSocket) {
  const ScratchDirectory scratch("notice");
  const std::string name = (scratch / "notify").string();
  const Descriptor receiver = receiver_at(name);
  ::unsetenv("NOTIFY_SOCKET");
  notify_service_manager("READY=1");
  EXPECT_EQ(received(receiver), "");
  ::setenv("NOTIFY_SOCKET", name.c_str(), 1);
  notify_service_manager("STOPPING=1");
  ::unsetenv("NOTIFY_SOCKET");
  EXPECT_EQ(received(receiver), "STOPPING=1");
}

}  // namespace
}  // namespace ringfs::nodes

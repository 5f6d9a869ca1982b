// Addresses to listen on.
#include "dht/net/sockets/listener.hpp"

#include <gtest/gtest.h>

#include <fstream>

#include "dht/net/sockets/dial.hpp"

namespace ringfs::dht {
namespace {

TEST(ListenOn, PortZero_TakesOneThatNoOutgoingConnectionGets) {
  std::ifstream range("/proc/sys/net/ipv4/ip_local_port_range");
  int first_outgoing = 0;
  ASSERT_TRUE(range >> first_outgoing);
  boost::asio::io_context loop;
  std::vector<Listener> listeners;
  for (int count = 0; count < 50; ++count) {
    Result<Listener> listener = listen_on(loop, "127.0.0.1:0");
    ASSERT_TRUE(listener) << listener.error().text();
    const int port = listener->acceptor.local_endpoint().port();
    EXPECT_GE(port, 1024);
    EXPECT_LT(port, first_outgoing);
    EXPECT_EQ(listener->address, "127.0.0.1:" + std::to_string(port));
    listeners.push_back(std::move(*listener));
  }
}

TEST(ListenOn, PortInUse_IsExists) {
  boost::asio::io_context loop;
  Result<Listener> first = listen_on(loop, "127.0.0.1:0");
  ASSERT_TRUE(first);
  Result<Listener> second = listen_on(loop, first->address);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::exists);
}

TEST(ListenOn, OffLoopbackWithoutTls_IsRefused) {
  boost::asio::io_context loop;
  for (const char* address : {"0.0.0.0:0", "[::]:0", "10.1.2.3:4001"}) {
    Result<Listener> listener = listen_on(loop, address);
    ASSERT_FALSE(listener) << address;
    EXPECT_EQ(listener.error().code, ErrorCode::invalid_argument);
    EXPECT_NE(listener.error().context.find("TLS"), std::string::npos);
  }
}

TEST(ListenOn, MalformedAddress_IsInvalid) {
  boost::asio::io_context loop;
  for (const char* address : {"", "127.0.0.1", ":4001", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:70000", "::1:4001"}) {
    Result<Listener> listener = listen_on(loop, address);
    ASSERT_FALSE(listener) << address;
    EXPECT_EQ(listener.error().code, ErrorCode::invalid_argument);
  }
}

TEST(Address, OfThisMachine_IsALoopbackNumberOrLocalhost) {
  for (const char* address : {"127.0.0.1:4001", "127.1.2.3:1", "[::1]:4001", "localhost:4001"})
    EXPECT_TRUE(is_of_this_machine(address)) << address;
  for (const char* address :
       {"10.0.0.1:4001", "0.0.0.0:4001", "[::]:4001", "[fd11::1]:4001", "node1:4001", "", "127.0.0.1"})
    EXPECT_FALSE(is_of_this_machine(address)) << address;
}

}  // namespace
}  // namespace ringfs::dht

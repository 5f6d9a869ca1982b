// The REST gateway over real sockets: answers to requests that are too large, too slow or cut short, and to one
// connection too many.
#include "nodes/rest/gateway.hpp"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <future>
#include <thread>

#include "dht/net/transport/listener.hpp"
#include "tests/support/fake_admin.hpp"
#include "tests/support/memory_object_store.hpp"
#include "tests/support/silent_ring.hpp"

namespace ringfs::nodes {
namespace {

using boost::asio::ip::tcp;

// The gateway runs on a thread of its own; the test is its client, with blocking sockets.
class RestGatewayTest : public testing::Test {
 protected:
  void start(const RestOptions& options = {}) {
    Result<dht::Listener> listener = dht::listen_on(loop, "127.0.0.1:0");
    ASSERT_TRUE(listener);
    port = listener->acceptor.local_endpoint().port();
    gateway = std::make_unique<RestGateway>(
        loop.get_executor(), store, ring, admin, [] { return std::string("metrics\n"); }, options);
    gateway->start(std::move(*listener));
    thread = std::thread([this] {
      auto work = boost::asio::make_work_guard(loop);
      loop.run();
    });
  }
  std::future<void> stop() {
    auto stopped = std::make_shared<std::promise<void>>();
    std::future<void> future = stopped->get_future();
    boost::asio::co_spawn(loop, gateway->stop(), [stopped](const std::exception_ptr&) { stopped->set_value(); });
    return future;
  }
  void TearDown() override {
    if (!thread.joinable()) return;
    stop().wait();
    loop.stop();
    thread.join();
  }

  tcp::socket connect() {
    tcp::socket socket(clients);
    socket.connect({boost::asio::ip::address_v4::loopback(), port});
    timeval limit{.tv_sec = 20, .tv_usec = 0};
    setsockopt(socket.native_handle(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    return socket;
  }
  // The head of a request that names this server.
  std::string request(const std::string& what, const std::string& headers = {}) const {
    return what + " HTTP/1.1\r\nHost: 127.0.0.1:" + std::to_string(port) + "\r\n" + headers + "\r\n";
  }
  static bool send(tcp::socket& socket, std::string_view bytes) {
    while (!bytes.empty()) {
      ssize_t count = ::send(socket.native_handle(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (count <= 0) return false;
      bytes.remove_prefix(static_cast<std::size_t>(count));
    }
    return true;
  }
  // Reads until the gateway closes; adds "reset" if it closed with a TCP reset.
  static std::string receive(tcp::socket& socket) {
    std::string all;
    char bytes[4096];
    for (;;) {
      ssize_t count = ::recv(socket.native_handle(), bytes, sizeof bytes, 0);
      if (count < 0) return all + "reset";
      if (count == 0) return all;
      all.append(bytes, static_cast<std::size_t>(count));
    }
  }
  static std::string receive_once(tcp::socket& socket) {
    char bytes[4096];
    ssize_t count = ::recv(socket.native_handle(), bytes, sizeof bytes, 0);
    return count > 0 ? std::string(bytes, static_cast<std::size_t>(count)) : std::string();
  }

  boost::asio::io_context loop{1};
  boost::asio::io_context clients;
  VirtualTime time{loop};
  MemoryObjectStore store{time, std::make_shared<MemoryRing>()};
  SilentRing ring;
  FakeAdmin admin;
  std::unique_ptr<RestGateway> gateway;
  std::uint16_t port = 0;
  std::thread thread;
};

TEST_F(RestGatewayTest, Request_IsAnsweredAndTheConnectionKept) {
  start();
  tcp::socket socket = connect();
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(send(socket, request("GET /metrics")));
    EXPECT_TRUE(receive_once(socket).starts_with("HTTP/1.1 200 OK\r\n"));
  }
}

TEST_F(RestGatewayTest, BodyTooLarge_TheClientThatSendsItAllReads413) {
  start();
  tcp::socket socket = connect();
  ASSERT_TRUE(send(socket, request("PUT /v1/kv/k", "Content-Length: 3000000\r\n")));
  EXPECT_TRUE(send(socket, std::string(3'000'000, 'x')));
  socket.shutdown(tcp::socket::shutdown_send);
  std::string answer = receive(socket);
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 413 ")) << answer;
  EXPECT_TRUE(answer.ends_with("}\n")) << answer;
}

TEST_F(RestGatewayTest, RequestForAnotherHost_Is403BeforeItsBodyIsRead) {
  start();
  tcp::socket socket = connect();
  ASSERT_TRUE(send(socket, "PUT /v1/kv/k HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 5\r\n\r\n"));
  std::string answer = receive_once(socket);
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 403 ")) << answer;
  EXPECT_NE(answer.find("access_denied"), std::string::npos) << answer;
}

TEST_F(RestGatewayTest, RequestByAPageOfAnotherSite_Is403) {
  start();
  for (const char* header : {"Origin: http://evil.example\r\n", "Sec-Fetch-Site: cross-site\r\n"}) {
    tcp::socket socket = connect();
    ASSERT_TRUE(send(socket, request("GET /metrics", header)));
    EXPECT_TRUE(receive_once(socket).starts_with("HTTP/1.1 403 ")) << header;
  }
}

TEST_F(RestGatewayTest, HeadersTooLarge_Are431) {
  start();
  tcp::socket socket = connect();
  ASSERT_TRUE(send(socket, "GET / HTTP/1.1\r\nX: " + std::string(100'000, 'x') + "\r\n\r\n"));
  EXPECT_TRUE(receive_once(socket).starts_with("HTTP/1.1 431 "));
}

TEST_F(RestGatewayTest, NotARequest_Is400) {
  start();
  tcp::socket socket = connect();
  ASSERT_TRUE(send(socket, "what is this?\r\n\r\n" + std::string(50'000, 'x')));
  socket.shutdown(tcp::socket::shutdown_send);
  std::string answer = receive(socket);
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 400 ")) << answer;
  EXPECT_TRUE(answer.ends_with("}\n")) << answer;
}

TEST_F(RestGatewayTest, RequestCutShort_Is400) {
  start();
  for (std::string part : {std::string("GET /metr"), request("PUT /v1/kv/k", "Content-Length: 10\r\n") + "abc"}) {
    tcp::socket socket = connect();
    ASSERT_TRUE(send(socket, part));
    socket.shutdown(tcp::socket::shutdown_send);
    std::string answer = receive(socket);
    EXPECT_TRUE(answer.starts_with("HTTP/1.1 400 ")) << answer;
    EXPECT_NE(answer.find("cut short"), std::string::npos) << answer;
  }
}

TEST_F(RestGatewayTest, RequestTooSlow_Is408AndAnIdleConnectionJustCloses) {
  start({.idle_timeout = std::chrono::milliseconds(100), .request_timeout = std::chrono::milliseconds(100)});
  tcp::socket socket = connect();
  ASSERT_TRUE(send(socket, request("PUT /v1/kv/k", "Content-Length: 10\r\n") + "abc"));
  std::string answer = receive_once(socket);
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 408 ")) << answer;
  EXPECT_NE(answer.find("\"timeout\""), std::string::npos) << answer;
  tcp::socket idle = connect();
  EXPECT_EQ(receive(idle), "");
}

TEST_F(RestGatewayTest, TooManyConnections_AreToldWithoutBeingReadAndThenCut) {
  start({.max_connections = 2, .max_turned_away = 1});
  tcp::socket first = connect();
  tcp::socket second = connect();
  for (tcp::socket* socket : {&first, &second}) {
    ASSERT_TRUE(send(*socket, request("GET /metrics")));
    EXPECT_TRUE(receive_once(*socket).starts_with("HTTP/1.1 200 "));
  }
  tcp::socket third = connect();
  EXPECT_TRUE(receive_once(third).starts_with("HTTP/1.1 503 "));  // without a request
  tcp::socket fourth = connect();
  std::string answer = receive(fourth);
  EXPECT_TRUE(answer.empty() || answer == "reset") << answer;
}

TEST_F(RestGatewayTest, Stop_AnswersWhatIsUnderWayAndClosesWhatIsIdle) {
  start();
  tcp::socket idle = connect();
  ASSERT_TRUE(send(idle, request("GET /metrics")));
  EXPECT_TRUE(receive_once(idle).starts_with("HTTP/1.1 200 "));
  tcp::socket busy = connect();
  ASSERT_TRUE(send(busy, request("PUT /v1/kv/k", "Expect: 100-continue\r\nContent-Length: 5\r\n")));
  EXPECT_TRUE(receive_once(busy).starts_with("HTTP/1.1 100 "));
  std::future<void> stopped = stop();
  EXPECT_EQ(receive(idle), "");
  EXPECT_EQ(stopped.wait_for(std::chrono::milliseconds(50)), std::future_status::timeout);
  ASSERT_TRUE(send(busy, "value"));
  std::string answer = receive(busy);
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 204 ")) << answer;
  EXPECT_NE(answer.find("Connection: close"), std::string::npos) << answer;
  stopped.get();
  stop().wait();
}

}  // namespace
}  // namespace ringfs::nodes

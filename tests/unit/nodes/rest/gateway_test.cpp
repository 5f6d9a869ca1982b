// The REST gateway over real sockets: answers to requests that are too large, too slow or cut short, and to one
// connection too many.
#include "tests/unit/nodes/rest/gateway_fixture.hpp"

namespace ringfs::nodes {
namespace {

using boost::asio::ip::tcp;

class RestGatewayTest : public GatewayFixture {};

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
  EXPECT_NE(answer.find("a value has at most 1 MiB"), std::string::npos) << answer;
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

TEST_F(RestGatewayTest, TlsOnAPlainPort_Is400) {
  start();
  tcp::socket socket = connect();
  // The beginning of a hello.
  ASSERT_TRUE(send(socket, std::string("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11) + "\r\n\r\n"));
  EXPECT_TRUE(receive(socket).starts_with("HTTP/1.1 400 "));
  EXPECT_EQ(refused(dht::RefusalReason::malformed), 1U);
}

TEST_F(RestGatewayTest, Refusals_AreCountedByReason) {
  start();
  for (const char* header : {"Origin: http://evil.example\r\n", "Sec-Fetch-Site: cross-site\r\n"}) {
    tcp::socket socket = connect();
    ASSERT_TRUE(send(socket, request("GET /metrics", header)));
    EXPECT_TRUE(receive_once(socket).starts_with("HTTP/1.1 403 ")) << header;
  }
  EXPECT_EQ(refused(dht::RefusalReason::origin), 2U);
  EXPECT_EQ(gateway->refused(), 2U);
}

TEST_F(RestGatewayTest, LoopbackWithoutAnything_HasTheRoleNode) {
  start();
  tcp::socket socket = connect();
  ASSERT_TRUE(send(socket, request("PUT /v1/kv/k", "Content-Length: 1\r\nAuthorization: Bearer nonsense\r\n") + "x"));
  EXPECT_TRUE(receive_once(socket).starts_with("HTTP/1.1 204 "));
  ASSERT_TRUE(send(socket, request("POST /v1/members", "Content-Length: 18\r\n") + R"({"address": "a:1"})"));
  EXPECT_TRUE(receive_once(socket).starts_with("HTTP/1.1 201 "));
  ASSERT_TRUE(send(socket, request("POST /v1/login", "Content-Length: 17\r\n") + R"({"token": "ring"})"));
  EXPECT_TRUE(receive_once(socket).starts_with("HTTP/1.1 403 "));
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

// Listeners of other users: what a client or node does not speak to. Runs as root, to act as others.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <csignal>
#include <functional>

#include "dht/net/sockets/listener.hpp"
#include "dht/net/transport/tcp_transport.hpp"
#include "tests/unit/net/transport/loopback.hpp"

namespace ringfs::dht {
namespace {

constexpr uid_t other_user = 4711;

// A process of another user that does something with a socket, from its fork until the end of the test.
class Stranger {
 public:
  // `work` calls what it is given when the test may go on.
  explicit Stranger(const std::function<void(const std::function<void()>& ready)>& work) {
    int ready[2];
    RINGFS_CHECK(::pipe(ready) == 0);
    child_ = ::fork();
    if (child_ == 0) {
      if (::setresuid(other_user, other_user, other_user) != 0) ::_exit(2);
      ::alarm(60);
      ::close(ready[0]);
      work([&] { ::close(ready[1]); });
      ::pause();
      ::_exit(0);
    }
    ::close(ready[1]);
    char byte = 0;
    static_cast<void>(::read(ready[0], &byte, 1));  // until the other end is closed
    ::close(ready[0]);
  }
  ~Stranger() {
    ::kill(child_, SIGKILL);
    ::waitpid(child_, nullptr, 0);
  }
  Stranger(const Stranger&) = delete;
  Stranger& operator=(const Stranger&) = delete;

 private:
  pid_t child_ = -1;
};

TEST(Strangers, UnixSocketOfAnotherUser_IsNotUsed) {
  ASSERT_EQ(::geteuid(), 0U) << "the unit tests run as root";
  boost::asio::io_context loop;
  const boost::asio::ip::tcp::endpoint address = listen_on(loop, "127.0.0.1:0")->acceptor.local_endpoint();
  {
    std::optional<LocalAcceptor> own = listen_beside(loop, join_address(address));
    ASSERT_TRUE(own);
    EXPECT_FALSE(listen_beside(loop, join_address(address))) << "the name is taken";
    EXPECT_TRUE(connect_beside(loop.get_executor(), address));
  }
  EXPECT_FALSE(connect_beside(loop.get_executor(), address)) << "nobody listens";
  Stranger stranger([&](const std::function<void()>& ready) {
    boost::asio::io_context own;
    const std::optional<LocalAcceptor> acceptor = listen_beside(own, join_address(address));
    ready();
    ::pause();
  });
  EXPECT_FALSE(listen_beside(loop, join_address(address))) << "the stranger has it";
  EXPECT_FALSE(connect_beside(loop.get_executor(), address));
}

TEST(Strangers, NodesAddressHeldByAnotherUser_IsNotSpokenTo) {
  ASSERT_EQ(::geteuid(), 0U) << "the unit tests run as root";
  boost::asio::io_context loop;
  TestNode node(loop, 1);
  const std::string address = node.address;
  // What a node answers a client that sends its handshake it, for the stranger to say.
  RawPeer client(loop, address);
  client.send_handshake(RawPeer::client_handshake());
  ASSERT_TRUE(client.wait_frames(1));
  const Handshake answer = *decode_handshake(client.frames.at(0));
  node.kill();
  const HostPort parts = *split_address(address);
  Stranger stranger([&](const std::function<void()>& ready) {
    boost::asio::io_context own;
    boost::asio::ip::tcp::acceptor acceptor(
        own, {boost::asio::ip::make_address(parts.host), static_cast<std::uint16_t>(std::stoi(parts.port))});
    ready();
    for (;;) {
      RawPeer peer(own);
      peer.take(acceptor.accept());
      peer.send_handshake(answer);
      run_for(own, std::chrono::seconds(5));
    }
  });
  SeededRandom random(2);
  TcpTransport transport(loop.get_executor(), random);
  std::optional<OperationResult> result;
  boost::asio::co_spawn(loop, transport.call(address, Uuid{}, TableOperation{}, boot_time() + std::chrono::seconds(20)),
                        [&](const std::exception_ptr&, OperationResult got) { result = std::move(got); });
  ASSERT_TRUE(run_until(loop, [&] { return result.has_value(); }));
  ASSERT_FALSE(result->has_value());
  const Error& why = result->error().error;
  EXPECT_EQ(why.code, ErrorCode::unreachable) << why.text();
  EXPECT_NE(why.context.find("it is of user 4711"), std::string::npos) << why.text();
  transport.stop();
}

TEST(Strangers, ClientOfAnotherUser_IsToldWhyItIsNotServed) {
  ASSERT_EQ(::geteuid(), 0U) << "the unit tests run as root";
  boost::asio::io_context loop;
  TestNode node(loop, 1);
  const HostPort parts = *split_address(node.address);
  int told[2];
  ASSERT_EQ(::pipe2(told, O_NONBLOCK), 0);
  Stranger stranger([&](const std::function<void()>& ready) {
    ready();
    boost::asio::io_context own;
    boost::asio::ip::tcp::socket socket(own);
    socket.connect({boost::asio::ip::make_address(parts.host), static_cast<std::uint16_t>(std::stoi(parts.port))});
    std::string all;
    std::array<char, 1024> piece{};
    boost::system::error_code error;
    while (!error) all.append(piece.data(), socket.read_some(boost::asio::buffer(piece), error));
    static_cast<void>(::write(told[1], all.data(), all.size()));
  });
  std::string heard;
  ASSERT_TRUE(run_until(loop, [&] {
    std::array<char, 1024> piece{};
    const ssize_t count = ::read(told[0], piece.data(), piece.size());
    if (count > 0) heard.append(piece.data(), static_cast<std::size_t>(count));
    return !heard.empty();
  }));
  EXPECT_NE(heard.find("only processes of root and of this node's user are served"), std::string::npos);
  EXPECT_EQ(node.server->counters().refused.count(RefusalReason::user), 1U);
  EXPECT_EQ(node.server->counters().refused.total(), 1U);
  ::close(told[0]);
  ::close(told[1]);
}

}  // namespace
}  // namespace ringfs::dht

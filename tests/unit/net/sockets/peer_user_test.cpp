// Users at the other end of local connections. Runs as root: it connects as others, too.
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <csignal>
#include <filesystem>

#include "dht/net/sockets/peer_user.hpp"
#include "tests/support/scratch_directory.hpp"

namespace ringfs::dht {
namespace {

using boost::asio::ip::tcp;

constexpr uid_t other_user = 4711;

class LoopbackPeer : public testing::TestWithParam<const char*> {
 protected:
  LoopbackPeer() : acceptor(loop, tcp::endpoint(boost::asio::ip::make_address(GetParam()), 0)) {}

  Result<uid_t> user_of(const tcp::socket& accepted) const {
    return user_of_loopback_peer(accepted.local_endpoint(), accepted.remote_endpoint());
  }
  // Another process, as `user`, that connects and stays until it is killed.
  pid_t connect_as(uid_t user) {
    const pid_t child = ::fork();
    if (child != 0) return child;
    boost::asio::io_context own;
    tcp::socket socket(own);
    if (::setresuid(user, user, user) != 0) ::_exit(2);
    socket.connect(acceptor.local_endpoint());
    ::alarm(60);
    ::pause();
    ::_exit(0);
  }

  boost::asio::io_context loop;
  tcp::acceptor acceptor;
};

TEST_P(LoopbackPeer, Own_IsThisProcesssUser) {
  tcp::socket client(loop);
  client.connect(acceptor.local_endpoint());
  tcp::socket accepted = acceptor.accept();
  EXPECT_EQ(user_of(accepted).value(), ::geteuid());
  // The same question from the other end: whose the server is.
  EXPECT_EQ(user_of(client).value(), ::geteuid());
}

TEST_P(LoopbackPeer, OfAnotherUser_IsThatOne) {
  ASSERT_EQ(::geteuid(), 0U) << "the unit tests run as root";
  const pid_t child = connect_as(other_user);
  tcp::socket accepted = acceptor.accept();
  EXPECT_EQ(user_of(accepted).value(), other_user);
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
}

TEST_P(LoopbackPeer, ThatHasClosed_IsNobody) {
  // The kernel shows a closed socket as user 0: it must not pass for root.
  tcp::socket client(loop);
  client.connect(acceptor.local_endpoint());
  tcp::socket accepted = acceptor.accept();
  client.close();
  Result<uid_t> user = user_of(accepted);
  ASSERT_FALSE(user);
  EXPECT_EQ(user.error().code, ErrorCode::access_denied);
}

TEST_P(LoopbackPeer, ThatHasClosedItsSendingHalf_IsItsUser) {
  tcp::socket client(loop);
  client.connect(acceptor.local_endpoint());
  tcp::socket accepted = acceptor.accept();
  client.shutdown(tcp::socket::shutdown_send);
  EXPECT_EQ(user_of(accepted).value(), ::geteuid());
}

TEST_P(LoopbackPeer, ThatNeverWas_IsNobody) {
  tcp::endpoint elsewhere(boost::asio::ip::make_address(GetParam()), 1);
  EXPECT_FALSE(user_of_loopback_peer(acceptor.local_endpoint(), elsewhere));
}

INSTANTIATE_TEST_SUITE_P(Families, LoopbackPeer, testing::Values("127.0.0.1", "::1"),
                         [](const auto& family) { return std::string(family.index == 0 ? "IPv4" : "IPv6"); });

TEST(UnixPeer, Own_IsThisProcesssUser) {
  int ends[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
  EXPECT_EQ(user_of_unix_peer(ends[0]).value(), ::geteuid());
  ::close(ends[0]);
  ::close(ends[1]);
}

TEST(LocalUser, RootAndTheOwnUser_AreServed) {
  EXPECT_TRUE(check_local_user(0));
  EXPECT_TRUE(check_local_user(::geteuid()));
  EXPECT_EQ(check_local_user(other_user).error().code, ErrorCode::access_denied);
  EXPECT_EQ(check_local_user(overflow_user()).error().code, ErrorCode::access_denied);
}

TEST(ListeningUser, OwnerOfTheServicesDirectory_IsBelieved) {
  ASSERT_EQ(::geteuid(), 0U) << "the unit tests run as root";
  const ScratchDirectory scratch("service");
  const std::string directory = (scratch / "ringfs").string();
  const auto refused = [&](uid_t user) {
    Status checked = check_listening_user(user, directory.c_str());
    return !checked && checked.error().code == ErrorCode::access_denied;
  };
  EXPECT_TRUE(refused(other_user)) << "there is no directory";
  std::filesystem::create_directory(directory);
  EXPECT_TRUE(refused(other_user)) << "it is root's";
  ASSERT_EQ(::chown(directory.c_str(), other_user, other_user), 0);
  EXPECT_FALSE(refused(other_user));
  EXPECT_FALSE(refused(0));
  EXPECT_TRUE(refused(other_user + 1));
  ASSERT_EQ(::chown(directory.c_str(), overflow_user(), overflow_user()), 0);
  EXPECT_TRUE(refused(overflow_user())) << "users without a number share this one";
}

TEST(ListeningUser, LinkInPlaceOfTheDirectory_NamesNobody) {
  ASSERT_EQ(::geteuid(), 0U) << "the unit tests run as root";
  const ScratchDirectory scratch("service");
  const std::string link = (scratch / "ringfs").string();
  std::filesystem::create_directory_symlink(scratch.path, link);
  ASSERT_EQ(::lchown(link.c_str(), other_user, other_user), 0);
  EXPECT_FALSE(check_listening_user(other_user, link.c_str()));
}

}  // namespace
}  // namespace ringfs::dht

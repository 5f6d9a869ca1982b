// Names: slow ones, several at once, and lookups whose owner is gone.
#include "dht/net/sockets/name_resolver.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <future>

#include "dht/net/sockets/dial.hpp"

namespace ringfs::dht {
namespace {

using boost::asio::ip::make_address;
using boost::asio::ip::tcp;

class NameResolverTest : public testing::Test {
 protected:
  NameResolverTest() {
    resolver().set_lookup([this](const std::string& host) -> Result<NameResolver::Addresses> {
      ++asked;
      if (host.starts_with("slow")) released.wait();
      if (host == "nowhere") return fail(ErrorCode::unreachable, "nowhere: unknown");
      return NameResolver::Addresses{make_address("127.0.0.1")};
    });
  }
  ~NameResolverTest() override { release(); }
  NameResolver& resolver() { return boost::asio::use_service<NameResolver>(loop); }
  void release() {
    if (!std::exchange(is_released, true)) release_.set_value();
  }
  // Runs the loop until `enough`.
  template <class Condition>
  void run_until(Condition enough) {
    loop.restart();
    auto guard = boost::asio::make_work_guard(loop);
    while (!enough()) loop.run_one();
  }

  std::atomic<int> asked{0};
  std::promise<void> release_;
  std::shared_future<void> released = release_.get_future().share();
  bool is_released = false;
  boost::asio::io_context loop;
  std::shared_ptr<int> owner = std::make_shared<int>(0);
};

TEST_F(NameResolverTest, SlowName_HoldsUpNoOther) {
  std::vector<std::string> answered;
  for (const char* host : {"slow", "fast", "nowhere"}) {
    resolver().resolve(host, loop.get_executor(), owner,
                       [&answered, host](const Result<NameResolver::Addresses>& found) {
                         answered.push_back(std::string(host) + (found ? "" : " fails"));
                       });
  }
  run_until([&] { return answered.size() == 2; });
  std::sort(answered.begin(), answered.end());
  EXPECT_EQ(answered, (std::vector<std::string>{"fast", "nowhere fails"}));
  release();
  run_until([&] { return answered.size() == 3; });
}

TEST_F(NameResolverTest, NameThatManyAskFor_IsAskedForOnce) {
  int answers = 0;
  for (int i = 0; i < 50; ++i) {
    resolver().resolve("slow", loop.get_executor(), owner, [&](const Result<NameResolver::Addresses>&) { ++answers; });
  }
  release();
  run_until([&] { return answers == 50; });
  EXPECT_EQ(asked, 1);
}

TEST_F(NameResolverTest, WhoHasGone_IsNotTold) {
  bool told = false, other = false;
  resolver().resolve("slow", loop.get_executor(), owner, [&](const Result<NameResolver::Addresses>&) { told = true; });
  owner = std::make_shared<int>(1);
  resolver().resolve("slow", loop.get_executor(), owner, [&](const Result<NameResolver::Addresses>&) { other = true; });
  release();
  run_until([&] { return other; });
  EXPECT_FALSE(told);
}

TEST_F(NameResolverTest, Dial_ByANameBesideASlowOne_Connects) {
  tcp::acceptor acceptor(loop, tcp::endpoint(make_address("127.0.0.1"), 0));
  const std::string port = ":" + std::to_string(acceptor.local_endpoint().port());
  bool slow_ended = false, connected = false;
  const auto slow = dial(loop.get_executor(), "slow" + port, std::chrono::minutes(1),
                         [&](const Result<Socket>&) { slow_ended = true; });
  const auto fast = dial(loop.get_executor(), "fast" + port, std::chrono::minutes(1),
                         [&](const Result<Socket>& socket) { connected = socket.has_value(); });
  run_until([&] { return connected; });
  EXPECT_FALSE(slow_ended);
  slow->cancel();
}

TEST_F(NameResolverTest, Loop_ThatEndsWhileANameIsAskedFor_DoesNotWaitForIt) {
  auto other = std::make_unique<boost::asio::io_context>();
  std::promise<void> begun;
  const std::shared_future<void> gate = released;
  boost::asio::use_service<NameResolver>(*other).set_lookup(
      [&begun, gate](const std::string&) -> Result<NameResolver::Addresses> {
        begun.set_value();
        gate.wait();
        return NameResolver::Addresses{};
      });
  boost::asio::use_service<NameResolver>(*other).resolve("slow", other->get_executor(), owner,
                                                         [](const Result<NameResolver::Addresses>&) {});
  begun.get_future().wait();
  other.reset();  // returns although nobody has released the name
  release();
}

}  // namespace
}  // namespace ringfs::dht

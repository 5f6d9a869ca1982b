// Locks that readers ask a node to settle.
#include "nodes/daemon/lock_settler.hpp"

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>

#include "tests/support/memory_object_store.hpp"
#include "tests/support/mutations.hpp"

namespace ringfs::nodes {
namespace {

class LockSettlerTest : public testing::Test {
 protected:
  // A transaction that holds a row, whose coordinator does nothing more.
  dht::SettleOperation hold_a_row() {
    TransactionPart part;
    part.mutations = {put("object", "row", "new")};
    transaction_ = store_.begin(time_.clock().now + std::chrono::seconds(30));
    RINGFS_CHECK(time_.run(transaction_->prepare(std::move(part))).has_value());
    const PartitionId partition = store_.partition_of_key("object");
    ReadRequest request;
    request.gets.push_back({"object", "row"});
    Result<ReadReply> reply =
        time_.run(store_.read_raw(partition, std::move(request), time_.clock().now + std::chrono::seconds(1)));
    return {partition, reply.value().gets.at(0).locks.at(0)};
  }
  void settle(const dht::SettleOperation& asked) {
    boost::asio::co_spawn(loop_, settler_.settle(asked, [this](dht::OperationResult one) { answers_.push_back(one); }),
                          boost::asio::detached);
  }
  ErrorCode code(std::size_t i) const { return answers_.at(i) ? ErrorCode{} : answers_.at(i).error().error.code; }

  boost::asio::io_context loop_;
  VirtualTime time_{loop_};
  std::shared_ptr<MemoryRing> ring_ = std::make_shared<MemoryRing>();
  MemoryObjectStore store_{time_, ring_};
  std::unique_ptr<Transaction> transaction_;
  bool started_ = true;
  LockSettler settler_{store_, [this] { return started_; }};
  std::vector<dht::OperationResult> answers_;
};

TEST_F(LockSettlerTest, Lock_GoesWithItsCoordinator) {
  const dht::SettleOperation asked = hold_a_row();
  settle(asked);
  time_.run_until_idle();
  ASSERT_EQ(answers_.size(), 1U);
  ASSERT_TRUE(answers_[0]);
  EXPECT_FALSE(std::get<dht::SettleAnswer>(*answers_[0]).gone) << "it may still commit";
  time_.advance(std::chrono::seconds(11));
  settle(asked);
  time_.run_until_idle();
  ASSERT_EQ(answers_.size(), 2U);
  ASSERT_TRUE(answers_[1]);
  EXPECT_TRUE(std::get<dht::SettleAnswer>(*answers_[1]).gone);
  EXPECT_EQ(ring_->intents(), 0U);
}

TEST_F(LockSettlerTest, TooManyAtOnce_AreToldToComeAgain) {
  const dht::SettleOperation asked = hold_a_row();
  store_.hold();
  for (std::size_t i = 0; i <= LockSettler::max_open_requests; ++i) settle(asked);
  time_.run_until_idle();
  ASSERT_EQ(answers_.size(), 1U);
  EXPECT_EQ(code(0), ErrorCode::overloaded);
  store_.release_all();
  time_.run_until_idle();
  EXPECT_EQ(answers_.size(), LockSettler::max_open_requests + 1);
  settle(asked);
  time_.run_until_idle();
  EXPECT_TRUE(answers_.back()) << "there is room again";
}

TEST_F(LockSettlerTest, BeforeTheNodeIsInItsRing_IsUnavailable) {
  const dht::SettleOperation asked = hold_a_row();
  started_ = false;
  settle(asked);
  time_.run_until_idle();
  ASSERT_EQ(answers_.size(), 1U);
  EXPECT_EQ(code(0), ErrorCode::unavailable);
}

TEST_F(LockSettlerTest, RingThatDoesNotAnswer_IsToldAsSuch) {
  const dht::SettleOperation asked = hold_a_row();
  store_.fail_reads(1, ErrorCode::timeout);
  settle(asked);
  time_.run_until_idle();
  ASSERT_EQ(answers_.size(), 1U);
  EXPECT_EQ(code(0), ErrorCode::timeout);
}

}  // namespace
}  // namespace ringfs::nodes

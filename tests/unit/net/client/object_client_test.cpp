// The object client against scripted nodes: finding leaders, tries, exactly once.
#include "dht/net/client/object_client.hpp"

#include <gtest/gtest.h>

#include <boost/asio/detached.hpp>

#include "dht/base/row_changes.hpp"
#include "dht/net/client/lock_resolver.hpp"
#include "dht/net/client/run_all.hpp"
#include "tests/support/fake_ring.hpp"

namespace ringfs::dht {
namespace {

using Fate = FakeRing::Fate;

const std::string key = "some object";
const RowAddress counter{key, "n"};

class ObjectClientTest : public testing::Test {
 protected:
  void SetUp() override {
    Status started = time_.run(client_.start(in(10)));
    ASSERT_TRUE(started) << started.error().text();
    CommitRequest create;
    create.mutations = {ringfs::put(counter, SharedBytes(std::string(8, '\0')))};
    ASSERT_TRUE(commit(create));
    ring_.executions = 0;
  }

  TimePoint in(int seconds) const { return time_.clock().now + std::chrono::seconds(seconds); }

  Result<CommitReply> commit(CommitRequest request, int seconds = 30) {
    return time_.run(client_.commit(std::move(request), in(seconds)));
  }
  Result<CommitReply> increment(int seconds = 30) {
    CommitRequest request;
    request.mutations = {add_i64(counter, 0, 1)};
    return commit(std::move(request), seconds);
  }
  Result<CommitReply> put(const std::string& name) {
    CommitRequest request;
    request.mutations = {ringfs::put({name, "n"}, {})};
    return commit(std::move(request));
  }
  std::int64_t number() {
    ReadRequest request;
    request.gets = {{key, "n"}};
    Result<ReadReply> reply = time_.run(client_.read(std::move(request), in(30)));
    if (!reply || !reply->gets[0].found) return -1;
    Reader reader(reply->gets[0].row.value.view());
    return reader.i64();
  }
  FakeRing::Group& group() { return ring_.group_of(key); }
  // The group elects its member number i.
  void elect(std::size_t i) { group().leader = group().members[i]; }
  // Its member number 1, while the test goes on.
  void elect_after(Duration duration) {
    auto later = [](FakeRing& ring, FakeRing::Group& group, Duration wait) -> Task<void> {
      co_await ring.sleep(wait);
      group.leader = group.members[1];
    };
    boost::asio::co_spawn(loop_, later(ring_, group(), duration), boost::asio::detached);
  }

  boost::asio::io_context loop_;
  VirtualTime time_{loop_};
  FakeRing ring_{time_, 6};
  ObjectClient client_{ring_, {"10.9.9.9:1", "10.0.0.3:4000"}};
};

TEST_F(ObjectClientTest, Start_OneBootstrapNodeIsGone_LearnsTheRingFromAnother) {
  EXPECT_EQ(client_.partition_bits(), ring_.genesis().partition_bits);
  EXPECT_EQ(client_.directory().table().members.size(), 6u);
}

TEST_F(ObjectClientTest, Start_NobodyAnswers_TimesOutAndSaysWhy) {
  ObjectClient lost(ring_, {"10.9.9.9:1"});
  Status status = time_.run(lost.start(in(2)));
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::timeout);
  EXPECT_NE(status.error().context.find("unreachable"), std::string::npos);
}

TEST_F(ObjectClientTest, Start_NodesThatWaitForARing_AreNotTakenForOne) {
  for (std::size_t i = 0; i < ring_.size(); ++i) ring_.node(i).state = FakeNode::State::waiting;
  ObjectClient early(ring_, {ring_.node(0).address});
  EXPECT_FALSE(time_.run(early.start(in(1))));
  EXPECT_FALSE(early.directory().known());
}

TEST_F(ObjectClientTest, Warm_EachOperation_IsOneCall) {
  const std::uint64_t before = client_.counters().calls;
  ASSERT_TRUE(increment());
  EXPECT_EQ(number(), 1);
  EXPECT_EQ(client_.counters().calls, before + 2);
}

TEST_F(ObjectClientTest, Cold_Partition_IsFoundByAChordLookup) {
  ObjectClient fresh(ring_, {ring_.node(0).address});
  ASSERT_TRUE(time_.run(fresh.start(in(10))));
  CommitRequest request;
  request.mutations = {add_i64(counter, 0, 1)};
  ASSERT_TRUE(time_.run(fresh.commit(request, in(10))));
  EXPECT_EQ(fresh.counters().lookups, 1u);
  EXPECT_GE(fresh.counters().lookup_hops, 1u);
  EXPECT_EQ(fresh.counters().calls, 2u)
      << "the lookup ends at the primary, which leads: it says the log's time, then takes the batch";
}

TEST_F(ObjectClientTest, LeaderChanged_OneRedirect_AndTheCacheKnows) {
  elect(2);
  const std::uint64_t before = client_.counters().calls;
  ASSERT_TRUE(increment());
  EXPECT_EQ(client_.counters().calls, before + 2);
  ASSERT_TRUE(increment());
  EXPECT_EQ(client_.counters().calls, before + 3);
  EXPECT_EQ(number(), 2);
}

TEST_F(ObjectClientTest, LeaderDead_AnotherIsElected_GoesOn) {
  ring_.node(*group().leader).state = FakeNode::State::dead;
  elect(1);
  ASSERT_TRUE(increment());
  EXPECT_EQ(number(), 1);
}

TEST_F(ObjectClientTest, LeaderFrozen_AnotherIsElected_CostsOneTry) {
  FakeNode& frozen = ring_.node(*group().leader);
  frozen.state = FakeNode::State::frozen;
  elect(1);
  const std::size_t calls = frozen.calls;
  const TimePoint before = time_.clock().now;
  ASSERT_TRUE(increment());
  EXPECT_EQ(time_.clock().now - before, ObjectClientOptions().try_time) << "virtual time: one try and nothing else";
  ASSERT_TRUE(increment());
  EXPECT_EQ(frozen.calls, calls + 1);
  EXPECT_EQ(number(), 2);
}

TEST_F(ObjectClientTest, LeaderFrozen_StillNamedByItsFollowers_IsNotAskedOverAndOver) {
  FakeNode& frozen = ring_.node(*group().leader);
  frozen.state = FakeNode::State::frozen;
  const std::size_t calls = frozen.calls;
  elect_after(std::chrono::milliseconds(1500));
  const TimePoint before = time_.clock().now;
  ASSERT_TRUE(increment());
  EXPECT_EQ(frozen.calls, calls + 1);
  EXPECT_LT(time_.clock().now - before, std::chrono::milliseconds(1900));
}

// The last unanswered call counts, not the first one.
TEST_F(ObjectClientTest, LeaderFrozenForLong_IsNotAskedTwiceInARow) {
  const Uuid frozen = *group().leader;
  FakeNode& node = ring_.node(frozen);
  node.state = FakeNode::State::frozen;
  elect(1);
  ASSERT_TRUE(increment());
  group().leader = frozen;
  time_.advance(std::chrono::milliseconds(1500));  // named by its followers for longer than a try takes
  const std::size_t calls = node.calls;
  elect_after(std::chrono::milliseconds(1300));
  const TimePoint before = time_.clock().now;
  ASSERT_TRUE(increment());
  EXPECT_LE(node.calls, calls + 1);
  EXPECT_LT(time_.clock().now - before, std::chrono::milliseconds(1700));
}

TEST_F(ObjectClientTest, LeaderOfSeveralPartitionsFrozen_OnlyTheFirstOneWaits) {
  const Uuid frozen = *group().leader;
  std::map<const FakeRing::Group*, std::string> keys;  // one of each partition that it leads, too
  for (int i = 0; i < 200; ++i) {
    const std::string name = "object " + std::to_string(i);
    FakeRing::Group& other = ring_.group_of(name);
    const bool member = std::find(other.members.begin(), other.members.end(), frozen) != other.members.end();
    if (&other == &group() || !member || keys.contains(&other)) continue;
    other.leader = frozen;
    ASSERT_TRUE(put(name)) << "the client knows who leads there";
    keys[&other] = name;
  }
  ASSERT_GE(keys.size(), 3u);
  FakeNode& node = ring_.node(frozen);
  node.state = FakeNode::State::frozen;
  for (auto& [partition, one] : ring_.groups) {
    if (one.leader == frozen) one.leader = one.members[one.members[0] == frozen ? 1 : 0];
  }
  const std::size_t calls = node.calls;
  ASSERT_TRUE(increment());
  time_.advance(std::chrono::milliseconds(1500));  // longer than its followers go on naming it
  for (const auto& [one, name] : keys) ASSERT_TRUE(put(name));
  EXPECT_EQ(node.calls, calls + 1);
}

TEST_F(ObjectClientTest, GroupMoved_OldMembersAreNotMembers_IsFoundByTheNewTable) {
  std::vector<Uuid> others;
  for (const Member& member : ring_.table.members) {
    if (std::find(group().members.begin(), group().members.end(), member.id) == group().members.end())
      others.push_back(member.id);
  }
  group() = {others, others[1]};
  for (Member& member : ring_.table.members) {
    if (std::find(others.begin(), others.end(), member.id) == others.end()) member.state = MemberState::leaving;
  }
  ring_.table.version = 2;
  ASSERT_TRUE(increment());
  EXPECT_EQ(number(), 1);
  EXPECT_EQ(client_.directory().table().version, 2u);
}

TEST_F(ObjectClientTest, ReplyLost_TheBatchWasExecuted_HappensOnce) {
  for (Fate fate : {Fate::reply_lost, Fate::silent_after, Fate::deposed_after, Fate::lost_before}) {
    const std::int64_t before = number();
    ring_.commit_fates = {fate, fate, Fate::answered};
    Result<CommitReply> reply = increment();
    ASSERT_TRUE(reply) << reply.error().text();
    EXPECT_TRUE(reply->applied);
    EXPECT_EQ(number(), before + 1) << static_cast<int>(fate);
  }
  EXPECT_GT(ring_.executions, 4u) << "it was said more than once";
}

TEST_F(ObjectClientTest, ReplyLost_LeaderChanged_HappensOnce) {
  ring_.commit_fates = {Fate::reply_lost};
  ring_.before_call = [&](FakeNode& node, const Operation& operation) {
    if (std::holds_alternative<CommitOperation>(operation) && node.id == group().members[0] && ring_.executions == 1)
      elect(1);
  };
  ASSERT_TRUE(increment());
  EXPECT_EQ(number(), 1);
}

TEST_F(ObjectClientTest, ReplyLost_ConditionNoLongerHolds_ReportsTheFirstResult) {
  CommitRequest request;
  const RowAddress row{key, "exclusive"};
  request.conditions = {absent(row)};
  request.mutations = {ringfs::put(row, {})};
  ring_.commit_fates = {Fate::reply_lost};
  Result<CommitReply> reply = commit(request);
  ASSERT_TRUE(reply);
  EXPECT_TRUE(reply->applied) << "O_EXCL must not fail because its own first try won";
}

TEST_F(ObjectClientTest, EverybodyDead_TimesOutAtTheDeadline_AndRecovers) {
  for (std::size_t i = 0; i < ring_.size(); ++i) ring_.node(i).state = FakeNode::State::dead;
  const TimePoint deadline = in(5);
  Result<CommitReply> reply = increment(5);
  ASSERT_FALSE(reply);
  EXPECT_EQ(reply.error().code, ErrorCode::timeout);
  EXPECT_EQ(time_.clock().now, deadline);
  EXPECT_EQ(number(), -1) << "reads, too";
  for (std::size_t i = 0; i < ring_.size(); ++i) ring_.node(i).state = FakeNode::State::alive;
  ASSERT_TRUE(increment());
  EXPECT_EQ(number(), 1);
}

TEST_F(ObjectClientTest, EverybodyFrozen_TimesOutAtTheDeadline) {
  for (std::size_t i = 0; i < ring_.size(); ++i) ring_.node(i).state = FakeNode::State::frozen;
  const TimePoint deadline = in(10);
  EXPECT_EQ(increment(10).error().code, ErrorCode::timeout);
  EXPECT_EQ(time_.clock().now, deadline);
}

TEST_F(ObjectClientTest, NoLeaderForAWhile_WaitsAndGoesOn) {
  group().leader.reset();
  elect_after(std::chrono::seconds(3));
  ASSERT_TRUE(increment());
  EXPECT_GT(client_.counters().rounds, 5u);
  EXPECT_LT(client_.counters().calls, 500u) << "pauses bound what a waiting client asks";
}

TEST_F(ObjectClientTest, LeadersClockIsAhead_ShortDeadline_StillWorks) {
  ring_.clock_skew = std::chrono::seconds(20);
  ASSERT_TRUE(increment(1));
  EXPECT_EQ(number(), 1);
  ring_.clock_skew = std::chrono::seconds(0);
  ASSERT_TRUE(increment(1)) << "stamps never go back within a partition";
}

// The log's time is far from every clock, in either direction, and it is not known whether the first try of the first
// batch happened.
TEST_F(ObjectClientTest, LogIsHoursAhead_UncertainFirstTry_StillWorks) {
  ring_.clock_skew = std::chrono::hours(3);
  for (const Fate fate : {Fate::lost_before, Fate::reply_lost}) {
    ObjectClient fresh(ring_, {ring_.node(0).address});
    ASSERT_TRUE(time_.run(fresh.start(in(10))));
    ring_.commit_fates = {fate};
    CommitRequest request;
    request.mutations = {add_i64(counter, 0, 1)};
    ASSERT_TRUE(time_.run(fresh.commit(request, in(10))));
  }
  EXPECT_EQ(number(), 2);
}

TEST_F(ObjectClientTest, LogIsHoursBehind_UncertainTry_StillWorks) {
  ring_.clock_skew = -std::chrono::hours(3);
  for (const Fate fate : {Fate::lost_before, Fate::reply_lost}) {
    ring_.commit_fates = {fate};
    ASSERT_TRUE(increment());
  }
  EXPECT_EQ(number(), 2);
}

// What the client last heard of the log is wrong by now, and a try is uncertain: the log's stamps tell whether it may
// be said again.
TEST_F(ObjectClientTest, LogJumpedSinceItWasHeard_AfterAnUncertainTry_IsSaidAgainOnlyIfItCertainlyDidNotHappen) {
  ASSERT_TRUE(increment());
  ring_.clock_skew = std::chrono::seconds(50);  // the batch expired a moment ago
  ring_.commit_fates = {Fate::lost_before};
  ASSERT_TRUE(increment(1)) << "an execution would be remembered";
  EXPECT_EQ(number(), 2);
  ring_.clock_skew = std::chrono::hours(1);  // so long ago that an execution would be forgotten
  ring_.commit_fates = {Fate::lost_before};
  Result<CommitReply> reply = increment(1);
  ASSERT_FALSE(reply);
  EXPECT_EQ(reply.error().code, ErrorCode::timeout);
  EXPECT_EQ(number(), 2);
}

TEST_F(ObjectClientTest, NoSpace_Certain_IsReported_Uncertain_IsFoundOut) {
  ring_.commit_fates = {Fate::refused_no_space};
  EXPECT_EQ(increment().error().code, ErrorCode::no_space);
  EXPECT_EQ(number(), 0);
  ring_.commit_fates = {Fate::reply_lost, Fate::refused_no_space, Fate::answered};
  ASSERT_TRUE(increment());
  EXPECT_EQ(number(), 1);
}

TEST_F(ObjectClientTest, TooLarge_Batch_IsRefusedWithoutACall) {
  CommitRequest request;
  request.mutations = {ringfs::put(counter, SharedBytes(std::string(max_value_bytes + 1, 'x')))};
  const std::uint64_t before = client_.counters().calls;
  EXPECT_EQ(commit(request).error().code, ErrorCode::too_large);
  EXPECT_EQ(client_.counters().calls, before);
}

TEST_F(ObjectClientTest, ManyAtOnce_MoreThanMayBeInFlight_AllHappenOnce) {
  constexpr std::size_t count = 600;
  std::size_t applied = 0;
  auto one = [](ObjectStore& store, CommitRequest request, TimePoint until, std::size_t* done) -> Task<void> {
    Result<CommitReply> reply = co_await store.commit(std::move(request), until);
    if (reply && reply->applied) ++*done;
  };
  for (std::size_t i = 0; i < count; ++i) {
    CommitRequest request;
    request.mutations = {add_i64(counter, 0, 1)};
    if (i % 7 == 0) ring_.commit_fates.push_back(Fate::reply_lost);
    boost::asio::co_spawn(loop_, one(client_, std::move(request), in(30), &applied), boost::asio::detached);
  }
  time_.run_until_idle();
  EXPECT_EQ(applied, count);
  EXPECT_EQ(number(), static_cast<std::int64_t>(count));
}

TEST_F(ObjectClientTest, LockedRow_WriterWaitsAndReaderSeesTheOldValue) {
  std::unique_ptr<Transaction> transaction = client_.begin(in(30));
  TransactionPart part;
  part.mutations = {ringfs::put(counter, SharedBytes(std::string(7, '\0') + '\7'))};
  ASSERT_TRUE(time_.run(transaction->prepare(std::move(part))));
  EXPECT_EQ(number(), 0);
  EXPECT_EQ(increment(1).error().code, ErrorCode::timeout);
  auto commit_later = [](FakeRing& ring, Transaction& one, bool* committed) -> Task<void> {
    co_await ring.sleep(std::chrono::milliseconds(300));
    Status status = co_await one.commit();
    *committed = status.has_value();
  };
  bool committed = false;
  boost::asio::co_spawn(loop_, commit_later(ring_, *transaction, &committed), boost::asio::detached);
  ASSERT_TRUE(increment());
  EXPECT_TRUE(committed);
  EXPECT_EQ(number(), 8);
  EXPECT_EQ(ring_.rows().intents() + ring_.rows().records(), 0u);
}

// Its role follows the members table.
TEST_F(ObjectClientTest, LockedRow_ReaderAsksANodeToSettle) {
  ring_.table.clients = {{.name = "reader", .role = AccessRole::reader}};
  ring_.table.version = 2;
  ObjectClientOptions options;
  options.name = "reader";
  ObjectClient reader(ring_, {"10.0.0.3:4000"}, options);
  ASSERT_TRUE(time_.run(reader.start(in(10))));
  EXPECT_FALSE(reader.may_settle());
  auto value = [&]() -> std::string {
    ReadRequest request;
    request.gets = {counter};
    Result<ReadReply> reply = time_.run(reader.read(std::move(request), in(30)));
    return reply ? reply->gets[0].row.value.str() : reply.error().text();
  };
  std::unique_ptr<Transaction> transaction = client_.begin(in(60));
  TransactionPart part;
  part.mutations = {ringfs::put(counter, std::string("new"))};
  ASSERT_TRUE(time_.run(transaction->prepare(std::move(part))));
  ring_.role = AccessRole::reader;  // from here on only the reader asks, until its coordinator counts as dead
  const std::uint64_t calls = reader.counters().calls;
  EXPECT_EQ(value(), std::string(8, '\0')) << "it is pending";
  EXPECT_LE(reader.counters().calls, calls + 2);
  time_.advance(max_transaction_age + std::chrono::seconds(1));
  EXPECT_EQ(value(), std::string(8, '\0')) << "it was aborted";
  EXPECT_EQ(ring_.rows().intents(), 0U);
  CommitRequest write;
  write.mutations = {ringfs::put(counter, std::string("mine"))};
  const TimePoint asked = time_.clock().now;
  EXPECT_EQ(time_.run(reader.commit(std::move(write), in(30))).error().code, ErrorCode::access_denied);
  EXPECT_LT(time_.clock().now, asked + std::chrono::seconds(1)) << "at once";
  ring_.table.clients[0].role = AccessRole::writer;
  ++ring_.table.version;
  ASSERT_TRUE(time_.run(reader.refresh_table(in(10))));
  EXPECT_TRUE(reader.may_settle());
}

TEST_F(ObjectClientTest, AddressChanged_TableKnows_IsReached) {
  FakeNode& leader = ring_.node(*group().leader);
  leader.address = "10.0.0.77:4000";
  for (Member& member : ring_.table.members) {
    if (member.id == leader.id) member.address = leader.address;
  }
  ring_.table.version = 2;
  ASSERT_TRUE(increment());
  EXPECT_EQ(number(), 1);
}

TEST_F(ObjectClientTest, Lookup_PointersLeadThroughAFrozenNode_PlacementHelps) {
  for (std::size_t i = 0; i < ring_.size(); ++i) {
    const auto& members = group().members;
    if (std::find(members.begin(), members.end(), ring_.node(i).id) == members.end())
      ring_.node(i).state = FakeNode::State::frozen;
  }
  ObjectClient fresh(ring_, {ring_.node(group().members[1]).address});
  ASSERT_TRUE(time_.run(fresh.start(in(30))));
  CommitRequest request;
  request.mutations = {add_i64(counter, 0, 1)};
  ASSERT_TRUE(time_.run(fresh.commit(request, in(30))));
}

// Somebody who passes rows on is told of recalls, and of this client's own changes, before they happen.
class RowsListenerTest : public ObjectClientTest {
 protected:
  void SetUp() override {
    ObjectClientTest::SetUp();
    ASSERT_TRUE(time_.run(leasing_.start(in(10))));
    leasing_.on_rows_recalled([this](const RowsRecall& recall, std::function<void()> done) {
      told_.push_back(recall);
      if (at_once_) return false;
      done_ = std::move(done);
      return true;
    });
  }
  Begun<Result<CommitReply>> begin_increment() {
    CommitRequest request;
    request.mutations = {add_i64(counter, 0, 1)};
    return time_.begin(leasing_.commit(std::move(request), in(30)));
  }

  ObjectClientOptions options_ = [] {
    ObjectClientOptions options;
    options.row_lease = max_row_lease;
    return options;
  }();
  ObjectClient leasing_{ring_, {"10.0.0.3:4000"}, options_};
  std::vector<RowsRecall> told_;
  std::function<void()> done_;
  bool at_once_ = false;
};

TEST_F(RowsListenerTest, Recall_IsAnsweredWhenTheListenerIsDone) {
  Recall recall;
  recall.partition = PartitionId{3};
  recall.rows = {row_hash(counter)};
  bool answered = false;
  ring_.recall(recall, [&] { answered = true; });
  ASSERT_EQ(told_.size(), 1U);
  EXPECT_EQ(told_[0].rows, recall.rows);
  EXPECT_EQ(told_[0].partition, recall.partition);
  EXPECT_FALSE(told_[0].own_change);
  EXPECT_FALSE(answered);
  done_();
  EXPECT_TRUE(answered);
}

TEST_F(RowsListenerTest, Recall_OfNothingThatWasPassedOn_IsAnsweredAtOnce) {
  at_once_ = true;
  bool answered = false;
  ring_.recall(Recall{}, [&] { answered = true; });
  EXPECT_TRUE(answered);
}

TEST_F(RowsListenerTest, OwnBatch_IsSentWhenTheListenerIsDone) {
  const Begun<Result<CommitReply>> begun = begin_increment();
  ASSERT_EQ(told_.size(), 1U);
  EXPECT_TRUE(told_[0].own_change);
  EXPECT_EQ(told_[0].rows, std::vector<std::uint64_t>{row_hash(counter)});
  EXPECT_EQ(number(), 0);
  done_();
  time_.settle();
  EXPECT_TRUE(begun.ended());
  EXPECT_EQ(number(), 1);
}

}  // namespace
}  // namespace ringfs::dht

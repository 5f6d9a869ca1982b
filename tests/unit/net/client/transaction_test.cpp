// Transactions: all or nothing when coordinators die, replies are lost and rivals meet.
#include "dht/net/client/transaction.hpp"

#include <gtest/gtest.h>

#include <boost/asio/detached.hpp>

#include "dht/net/client/lock_resolver.hpp"
#include "tests/support/memory_object_store.hpp"
#include "tests/support/mutations.hpp"

namespace ringfs::dht {
namespace {

using Outcome = BatchResult::Outcome;
constexpr Duration timeout = std::chrono::seconds(30);

class TransactionTest : public testing::Test {
 protected:
  TransactionTest() {
    // Three objects in three partitions.
    for (int i = 0; keys_.size() < 3; ++i) {
      std::string key = "object" + std::to_string(i);
      bool fresh = true;
      for (const std::string& other : keys_)
        fresh = fresh && store_.partition_of_key(key) != store_.partition_of_key(other);
      if (fresh) keys_.push_back(key);
    }
  }

  TimePoint deadline() const { return time_.clock().now + timeout; }

  static Mutation put(const std::string& key, const std::string& value) { return ringfs::put(key, "row", value); }
  static Condition require(Condition::Kind kind, const std::string& key, const std::string& value = {}) {
    Condition condition;
    condition.kind = kind;
    condition.row = {key, "row"};
    condition.value = SharedBytes(value);
    return condition;
  }
  static TransactionPart part(const std::string& key, const std::string& value) {
    TransactionPart part;
    part.mutations = {put(key, value)};
    return part;
  }

  static Task<Result<CommitReply>> write(ObjectStore& store, std::string key, std::string value, TimePoint deadline) {
    CommitRequest request;
    request.mutations = {put(key, value)};
    co_return co_await store.commit(std::move(request), deadline);
  }
  static Task<Result<std::string>> value(ObjectStore& store, std::string key, TimePoint deadline) {
    ReadRequest request;
    request.gets.push_back({key, "row"});
    Result<ReadReply> reply = co_await store.read(std::move(request), deadline);
    if (!reply) co_return tl::unexpected(reply.error());
    if (!reply->gets[0].locks.empty()) co_return fail(ErrorCode::internal, "a lock shows");
    if (!reply->gets[0].found) co_return fail(ErrorCode::not_found);
    co_return reply->gets[0].row.value.str();
  }
  // Puts `value` into all of keys: the first error, or success.
  static Task<Status> move_all(ObjectStore& store, std::vector<std::string> keys, std::string value,
                               TimePoint deadline) {
    std::unique_ptr<Transaction> transaction = store.begin(deadline);
    for (const std::string& key : keys) {
      TransactionPart next = part(key, value);
      Result<CommitReply> prepared = co_await transaction->prepare(std::move(next));
      if (!prepared) {
        const Error error = prepared.error();
        co_await transaction->abort();
        co_return tl::unexpected(error);
      }
    }
    co_return co_await transaction->commit();
  }

  void set_all(const std::string& to) {
    for (const std::string& key : keys_) ASSERT_TRUE(time_.run(write(store_, key, to, deadline())));
  }
  std::string get(ObjectStore& store, const std::string& key) {
    Result<std::string> result = time_.run(value(store, key, deadline()));
    return result ? *result : result.error().text();
  }
  // As the janitor does, from the first record on.
  Task<Result<RecordsReport>> finish_all(PartitionId where) {
    RecordsPlace place;
    co_return co_await finish_records(other_, where, &place, claimed(where), deadline());
  }
  // How old the rows of a partition are: every call is a claim (fs/claims.hpp).
  RowAges claimed(PartitionId partition) {
    std::vector<LogMark>& marks = marks_[partition];
    const RowAges ages(marks, time_.clock().stamp);
    marks.push_back({ring_->partitions[partition].index, time_.clock().stamp});
    return ages;
  }
  PartitionId partition(int i) { return store_.partition_of_key(keys_[static_cast<std::size_t>(i)]); }

  boost::asio::io_context loop_;
  VirtualTime time_{loop_};
  std::shared_ptr<MemoryRing> ring_ = std::make_shared<MemoryRing>();
  MemoryObjectStore store_{time_, ring_, 1};
  MemoryObjectStore other_{time_, ring_, 2};
  std::vector<std::string> keys_;
  std::map<PartitionId, std::vector<LogMark>> marks_;
};

TEST_F(TransactionTest, Commit_AcrossPartitions_ShowsAllAndLeavesNothing) {
  set_all("old");
  ASSERT_TRUE(time_.run(move_all(store_, keys_, "new", deadline())));
  for (const std::string& key : keys_) EXPECT_EQ(get(other_, key), "new");
  EXPECT_EQ(ring_->intents(), 0u);
  EXPECT_EQ(ring_->records(), 0u);
}

TEST_F(TransactionTest, Commit_InOnePartition_TakesTwoRoundTrips) {
  std::vector<std::string> one{keys_[0]};
  ASSERT_TRUE(time_.run(move_all(store_, one, "new", deadline())));
  EXPECT_EQ(store_.operations(), 2u);
  EXPECT_EQ(get(other_, keys_[0]), "new");
  EXPECT_EQ(ring_->intents() + ring_->records(), 0u);
}

// A client to which one partition does not answer.
class MutedStore final : public MemoryObjectStore {
 public:
  MutedStore(VirtualTime& time, std::shared_ptr<MemoryRing> ring, PartitionId silent)
      : MemoryObjectStore(time, std::move(ring), 99), silent_(silent) {}
  Task<Result<BatchResult>> commit_raw(PartitionId partition, std::vector<Condition> conditions,
                                       std::vector<Mutation> mutations, TimePoint deadline) override {
    if (partition == silent_) {
      co_await sleep(deadline - clock().now);
      co_return fail(ErrorCode::timeout, "silent");
    }
    co_return co_await MemoryObjectStore::commit_raw(partition, std::move(conditions), std::move(mutations), deadline);
  }

 private:
  const PartitionId silent_;
};

TEST_F(TransactionTest, Prepare_ConditionFails_SaysWhichAndAbortLeavesNothing) {
  set_all("old");
  std::unique_ptr<Transaction> transaction = store_.begin(deadline());
  ASSERT_TRUE(time_.run(transaction->prepare(part(keys_[0], "new"))));
  TransactionPart second = part(keys_[1], "new");
  second.conditions = {require(Condition::Kind::present, keys_[1]), require(Condition::Kind::absent, keys_[1])};
  Result<CommitReply> reply = time_.run(transaction->prepare(std::move(second)));
  ASSERT_TRUE(reply);
  EXPECT_FALSE(reply->applied);
  EXPECT_EQ(reply->failed_condition, 1u);
  time_.run(transaction->abort());
  EXPECT_EQ(get(other_, keys_[0]), "old");
  EXPECT_EQ(ring_->intents() + ring_->records(), 0u);
  EXPECT_EQ(time_.run(transaction->commit()).error().code, ErrorCode::aborted);
}

TEST_F(TransactionTest, Prepare_RowsOfTwoPartitionsInOnePart_IsInvalid) {
  TransactionPart both = part(keys_[0], "new");
  both.mutations.push_back(put(keys_[1], "new"));
  std::unique_ptr<Transaction> transaction = store_.begin(deadline());
  EXPECT_EQ(time_.run(transaction->prepare(std::move(both))).error().code, ErrorCode::invalid_argument);
}

TEST_F(TransactionTest, Read_WhilePending_ShowsOldRows_AndWritersWait) {
  set_all("old");
  std::unique_ptr<Transaction> transaction = store_.begin(deadline());
  ASSERT_TRUE(time_.run(transaction->prepare(part(keys_[0], "new"))));
  EXPECT_EQ(get(other_, keys_[0]), "old");
  Result<CommitReply> blocked = time_.run(write(other_, keys_[0], "mine", time_.clock().now + std::chrono::seconds(1)));
  ASSERT_FALSE(blocked);
  EXPECT_EQ(blocked.error().code, ErrorCode::timeout);
  ASSERT_TRUE(time_.run(transaction->commit()));
  EXPECT_EQ(get(other_, keys_[0]), "new");
  EXPECT_TRUE(time_.run(write(other_, keys_[0], "mine", deadline())));
}

// The coordinator dies after each of its operations in turn; later somebody reads and writes everything.
TEST_F(TransactionTest, Coordinator_DiesAtAnyStep_AllOrNothing) {
  bool committed_at_some_step = false;
  bool aborted_at_some_step = false;
  for (std::size_t steps = 0; steps <= 8; ++steps) {
    for (bool at_once : {false, true}) {
      SCOPED_TRACE(std::to_string(steps) + (at_once ? " at once" : " later"));
      set_all("old");
      MemoryObjectStore dying(time_, ring_, 100 + 2 * steps + (at_once ? 1 : 0));
      dying.fail_after(steps);
      Status end = time_.run(move_all(dying, keys_, "new", deadline()));
      if (!at_once) time_.advance(max_transaction_age + std::chrono::seconds(1));
      const std::string first = get(other_, keys_[2]);
      EXPECT_TRUE(first == "old" || first == "new");
      if (end) {
        EXPECT_EQ(first, "new") << "what was acknowledged is there";
      }
      for (const std::string& key : keys_) EXPECT_EQ(get(other_, key), first);
      (first == "new" ? committed_at_some_step : aborted_at_some_step) = true;
      // Writers get through, at the latest when the coordinator is taken for dead.
      for (const std::string& key : keys_) EXPECT_TRUE(time_.run(write(other_, key, "after", deadline())));
      for (const std::string& key : keys_) EXPECT_EQ(get(other_, key), "after");
      EXPECT_EQ(ring_->intents(), 0u);
    }
  }
  EXPECT_TRUE(committed_at_some_step);
  EXPECT_TRUE(aborted_at_some_step);
}

// A client that may only read meets what a dead coordinator left: it asks a node, which resolves.
TEST_F(TransactionTest, Reader_MeetsLocks_ReadsLikeAnybody) {
  std::set<std::string> seen;
  for (std::size_t steps = 0; steps <= 8; ++steps) {
    for (bool at_once : {false, true}) {
      SCOPED_TRACE(std::to_string(steps) + (at_once ? " at once" : " later"));
      set_all("old");
      MemoryObjectStore dying(time_, ring_, 300 + 2 * steps + (at_once ? 1 : 0));
      MemoryObjectStore reader(time_, ring_, 400 + 2 * steps + (at_once ? 1 : 0));
      reader.only_read(other_);
      dying.fail_after(steps);
      Status end = time_.run(move_all(dying, keys_, "new", deadline()));
      if (!at_once) time_.advance(max_transaction_age + std::chrono::seconds(1));
      const std::string first = get(reader, keys_[2]);
      seen.insert(first);
      if (end) {
        EXPECT_EQ(first, "new") << "what was acknowledged is there";
      }
      for (const std::string& key : keys_) EXPECT_EQ(get(reader, key), first);
      EXPECT_EQ(time_.run(write(reader, keys_[0], "mine", deadline())).error().code, ErrorCode::access_denied);
    }
  }
  EXPECT_EQ(seen, (std::set<std::string>{"new", "old"}));
}

// Whoever may not write cannot have the record of an invented transaction written, nor one aborted that has begun.
TEST_F(TransactionTest, SettleForReader_WithoutALock_WritesNothing) {
  set_all("old");
  const RecordRef invented{partition(1), {5, Uuid{}}};
  const std::size_t commits = other_.commits();
  Result<LockFate> fate = time_.run(settle_for_reader(other_, {partition(0), invented}, deadline()));
  ASSERT_TRUE(fate);
  EXPECT_EQ(*fate, LockFate::gone);
  EXPECT_EQ(other_.commits(), commits);
  EXPECT_EQ(ring_->records(), 0U);
  for (const SettleOperation& beyond :
       {SettleOperation{PartitionId{256}, invented}, SettleOperation{partition(0), {PartitionId{256}, invented.id}}}) {
    EXPECT_EQ(time_.run(settle_for_reader(other_, beyond, deadline())).error().code, ErrorCode::invalid_argument);
  }
}

// As for whoever may write: a read does not fail with no_space.
TEST_F(TransactionTest, Reader_PartitionHasNoRoomToResolve_WaitsForItOrReadsWhatIsAborted) {
  set_all("old");
  MemoryObjectStore reader(time_, ring_, 500);
  reader.only_read(other_);
  MemoryObjectStore dying(time_, ring_, 501);
  dying.fail_after(4);  // three parts and the flip
  static_cast<void>(time_.run(move_all(dying, keys_, "new", deadline())));
  other_.fail_commits(1, ErrorCode::no_space);
  EXPECT_EQ(get(reader, keys_[1]), "unavailable: a row is locked, and the disks are full")
      << "the object client asks again";
  EXPECT_EQ(get(reader, keys_[1]), "new");
}

// The same, but each step's reply is lost although it happened.
TEST_F(TransactionTest, Coordinator_LosesAReplyAtAnyStep_AllOrNothing) {
  for (std::size_t step = 0; step < 8; ++step) {
    SCOPED_TRACE(step);
    set_all("old");
    MemoryObjectStore unlucky(time_, ring_, 200 + step);
    unlucky.succeed_commits(step);
    unlucky.fail_commits(1, ErrorCode::timeout, true);
    Status end = time_.run(move_all(unlucky, keys_, "new", deadline()));
    const std::string first = get(other_, keys_[0]);
    for (const std::string& key : keys_) EXPECT_EQ(get(other_, key), first);
    if (end) {
      EXPECT_EQ(first, "new");
    } else if (end.error().code == ErrorCode::aborted) {
      EXPECT_EQ(first, "old");
    }
    for (const std::string& key : keys_) EXPECT_TRUE(time_.run(write(other_, key, "after", deadline())));
    for (const std::string& key : keys_) EXPECT_EQ(get(other_, key), "after");
    EXPECT_EQ(ring_->intents(), 0u);
  }
}

TEST_F(TransactionTest, Coordinator_WakesUpAfterItWasTakenForDead_CannotCommit) {
  set_all("old");
  std::unique_ptr<Transaction> sleeper = store_.begin(time_.clock().now + std::chrono::minutes(5));
  ASSERT_TRUE(time_.run(sleeper->prepare(part(keys_[0], "new"))));
  ASSERT_TRUE(time_.run(sleeper->prepare(part(keys_[1], "new"))));
  time_.advance(max_transaction_age + std::chrono::seconds(1));
  ASSERT_TRUE(time_.run(write(other_, keys_[1], "mine", deadline())));
  EXPECT_EQ(time_.run(sleeper->commit()).error().code, ErrorCode::aborted);
  EXPECT_EQ(get(other_, keys_[0]), "old");
  EXPECT_EQ(get(other_, keys_[1]), "mine");
  EXPECT_EQ(ring_->intents(), 0u);
}

TEST_F(TransactionTest, Faults_LockDroppedWithoutATombstone_HalfIsCommitted) {
  set_all("old");
  MemoryObjectStore careless(time_, ring_, 3, TransactionFaults{.drop_without_tombstone = true});
  std::unique_ptr<Transaction> sleeper = store_.begin(time_.clock().now + std::chrono::minutes(5));
  ASSERT_TRUE(time_.run(sleeper->prepare(part(keys_[0], "new"))));
  ASSERT_TRUE(time_.run(sleeper->prepare(part(keys_[1], "new"))));
  time_.advance(max_transaction_age + std::chrono::seconds(1));
  ASSERT_TRUE(time_.run(write(careless, keys_[1], "mine", deadline())));
  EXPECT_TRUE(time_.run(sleeper->commit()));
  EXPECT_EQ(get(other_, keys_[0]), "new");
  EXPECT_EQ(get(other_, keys_[1]), "mine");
}

TEST_F(TransactionTest, Coordinator_AbortedBetweenPrepares_CannotGoOn) {
  set_all("old");
  std::unique_ptr<Transaction> sleeper = store_.begin(time_.clock().now + std::chrono::minutes(5));
  ASSERT_TRUE(time_.run(sleeper->prepare(part(keys_[0], "new"))));
  time_.advance(max_transaction_age + std::chrono::seconds(1));
  ASSERT_TRUE(time_.run(write(other_, keys_[0], "mine", deadline())));
  ASSERT_TRUE(time_.run(sleeper->prepare(part(keys_[1], "new"))));
  EXPECT_EQ(time_.run(sleeper->commit()).error().code, ErrorCode::aborted);
  EXPECT_EQ(get(other_, keys_[1]), "old");
}

TEST_F(TransactionTest, ClocksAreFarApart_NobodyAbortsWhatIsPending) {
  for (const Duration error : {Duration(std::chrono::seconds(11)), Duration(std::chrono::hours(5)),
                               Duration(-std::chrono::hours(5)), Duration(-std::chrono::seconds(1'700'000'000))}) {
    SCOPED_TRACE(error.count());
    other_.set_clock_error(error);
    set_all("old");
    std::unique_ptr<Transaction> transaction = store_.begin(deadline());
    for (const std::string& key : keys_) {
      ASSERT_TRUE(time_.run(transaction->prepare(part(key, "new"))));
      for (const std::string& each : keys_) EXPECT_EQ(get(other_, each), "old");
      for (auto& [id, place] : ring_->partitions) ASSERT_TRUE(time_.run(finish_all(id)));
    }
    EXPECT_EQ(time_.run(write(other_, keys_[0], "mine", time_.clock().now + std::chrono::seconds(2))).error().code,
              ErrorCode::timeout);
    EXPECT_TRUE(time_.run(transaction->commit()));
    for (const std::string& key : keys_) EXPECT_EQ(get(other_, key), "new");
  }
}

TEST_F(TransactionTest, ClocksAreFarApart_ADeadCoordinatorIsBuried) {
  for (const Duration error : {Duration(std::chrono::hours(5)), Duration(-std::chrono::hours(5))}) {
    set_all("old");
    MemoryObjectStore dying(time_, ring_, 77);
    dying.set_clock_error(error);
    dying.fail_after(2);
    ASSERT_FALSE(time_.run(move_all(dying, keys_, "new", deadline())));
    EXPECT_TRUE(time_.run(write(other_, keys_[0], "mine", deadline())));
    EXPECT_EQ(get(other_, keys_[1]), "old");
  }
}

TEST_F(TransactionTest, Tombstone_FirstPrepareArrivesAfterwards_IsRefused) {
  const RecordRef lock{partition(0), {static_cast<std::uint64_t>(time_.clock().stamp.microseconds), {}}};
  // A lock in partition 1 whose record never came into being.
  const Mutation intents = prepare(lock, {put(keys_[1], "ghost")});
  auto raw = [](MemoryObjectStore& store, PartitionId where, Mutation mutation,
                TimePoint until) -> Task<Result<BatchResult>> {
    std::vector<Mutation> mutations{std::move(mutation)};
    co_return co_await store.commit_raw(where, {}, std::move(mutations), until);
  };
  ASSERT_TRUE(time_.run(raw(store_, partition(1), intents, deadline())));
  EXPECT_EQ(get(other_, keys_[1]), "not_found");
  EXPECT_EQ(ring_->intents(), 0u);
  EXPECT_EQ(ring_->records(), 1u) << "a tombstone stands in its place";
  TransactionCoordinator late(store_, lock.id, deadline());
  EXPECT_EQ(time_.run(late.prepare(part(keys_[0], "late"))).error().code, ErrorCode::aborted);
}

TEST_F(TransactionTest, Rivals_OnTheSameRows_BothEndAndNoneIsMixed) {
  for (std::uint64_t round = 0; round < 30; ++round) {
    SCOPED_TRACE(round);
    set_all("old");
    MemoryObjectStore left(time_, ring_, 1000 + round);
    MemoryObjectStore right(time_, ring_, 2000 + round);
    left.set_latency(Duration(500 + 37 * static_cast<int>(round)));
    right.set_latency(Duration(500 + 53 * static_cast<int>(29 - round)));
    std::vector<std::string> backwards(keys_.rbegin(), keys_.rend());
    std::optional<Status> left_end;
    std::optional<Status> right_end;
    auto until_it_works = [](ObjectStore& store, std::vector<std::string> keys, std::string value, TimePoint until,
                             std::optional<Status>* end) -> Task<void> {
      for (int attempt = 0; attempt < 100; ++attempt) {
        Status status = co_await move_all(store, keys, value, until);
        *end = status;
        if (status || status.error().code != ErrorCode::aborted) co_return;
        co_await store.sleep(Duration(static_cast<std::int64_t>(store.random().below(20'000))));
      }
    };
    boost::asio::co_spawn(loop_, until_it_works(left, keys_, "left", deadline(), &left_end), boost::asio::detached);
    boost::asio::co_spawn(loop_, until_it_works(right, backwards, "right", deadline(), &right_end),
                          boost::asio::detached);
    time_.run_until_idle();
    ASSERT_TRUE(left_end && right_end);
    EXPECT_TRUE(*left_end) << left_end->error().text();
    EXPECT_TRUE(*right_end) << right_end->error().text();
    const std::string first = get(other_, keys_[0]);
    for (const std::string& key : keys_) EXPECT_EQ(get(other_, key), first);
    EXPECT_EQ(ring_->intents(), 0u)
        << "tombstones may stay: whoever met a lock just before it went asked for its record";
  }
}

TEST_F(TransactionTest, YoungerMeetsOlder_GivesUpAtOnce) {
  set_all("old");
  std::unique_ptr<Transaction> older = store_.begin(deadline());
  ASSERT_TRUE(time_.run(older->prepare(part(keys_[0], "older"))));
  time_.advance(Duration(10));
  std::unique_ptr<Transaction> younger = other_.begin(deadline());
  ASSERT_TRUE(time_.run(younger->prepare(part(keys_[1], "younger"))));
  EXPECT_EQ(time_.run(younger->prepare(part(keys_[0], "younger"))).error().code, ErrorCode::aborted);
  ASSERT_TRUE(time_.run(older->prepare(part(keys_[1], "older")))) << "the younger let go of its rows";
  ASSERT_TRUE(time_.run(older->commit()));
  EXPECT_EQ(get(other_, keys_[1]), "older");
}

TEST_F(TransactionTest, FinishRecord_CommittedWithoutResolve_IsResolvedBeforeTheRecordGoes) {
  set_all("old");
  MemoryObjectStore dying(time_, ring_, 77);
  dying.fail_after(4);  // three prepares and the flip
  ASSERT_TRUE(time_.run(move_all(dying, keys_, "new", deadline())));
  ASSERT_EQ(ring_->records(), 1u);
  ASSERT_GT(ring_->intents(), 0u);
  auto finish = [&] {
    for (auto& [id, place] : ring_->partitions) ASSERT_TRUE(time_.run(finish_all(id)));
  };
  finish();
  EXPECT_EQ(ring_->records(), 1u) << "too young to be touched";
  EXPECT_GT(ring_->intents(), 0u);
  time_.advance(max_transaction_age + std::chrono::seconds(1));
  finish();
  EXPECT_EQ(ring_->records(), 1u) << "late copies of its batches must still find it";
  EXPECT_EQ(ring_->intents(), 0u);
  time_.advance(record_life + std::chrono::seconds(1));
  finish();
  EXPECT_EQ(ring_->records() + ring_->intents(), 0u);
  for (const std::string& key : keys_) EXPECT_EQ(get(other_, key), "new");
}

TEST_F(TransactionTest, FinishRecords_PartsOfADeadCoordinator_GoWithoutBeingMet) {
  set_all("old");
  MemoryObjectStore dying(time_, ring_, 77);
  dying.fail_after(3);  // three prepares
  ASSERT_FALSE(time_.run(move_all(dying, keys_, "new", deadline())));
  ASSERT_GT(ring_->intents(), 0u);
  auto finish = [&] {
    for (auto& [id, place] : ring_->partitions) ASSERT_TRUE(time_.run(finish_all(id)));
  };
  finish();
  EXPECT_GT(ring_->intents(), 0u) << "it may still be at work";
  time_.advance(max_transaction_age + std::chrono::seconds(1));
  finish();
  EXPECT_EQ(ring_->intents(), 0u);
  finish();  // claims the tombstone
  time_.advance(record_life + std::chrono::seconds(1));
  finish();
  EXPECT_EQ(ring_->records(), 0u);
  for (const std::string& key : keys_) EXPECT_EQ(get(other_, key), "old");
}

// The participants of the first records do not answer; those behind them must be reached all the same.
TEST_F(TransactionTest, FinishRecords_StuckOnes_HideNothingThatComesAfterThem) {
  set_all("old");
  MemoryRing::Partition& place = ring_->partitions[partition(0)];
  const PartitionId silent = partition(2);
  const Stamp before = time_.clock().stamp;
  const auto stuck_id = [&](std::size_t number) {
    return TransactionId{static_cast<std::uint64_t>(before.microseconds) + number, {}};
  };
  constexpr std::size_t stuck = records_per_page + 10;
  for (std::size_t i = 0; i < stuck; ++i) {
    const TransactionRecord committed{RecordState::committed, before, {silent}};
    place.rows.put({record_key, record_sort(stuck_id(i))}, SharedBytes(encode(committed)), ++place.index);
  }
  MemoryObjectStore dying(time_, ring_, 77);
  dying.fail_after(3);  // two prepares and the flip
  std::vector<std::string> two{keys_[0], keys_[1]};
  time_.advance(std::chrono::seconds(1));
  ASSERT_TRUE(time_.run(move_all(dying, two, "new", deadline())));
  ASSERT_GT(ring_->intents(), 0u);

  RecordsPlace where;
  MutedStore muted(time_, ring_, silent);
  ASSERT_TRUE(time_.run(finish_records(muted, partition(0), &where, RowAges(), deadline())))
      << "they are seen, and too young";
  ASSERT_GT(ring_->intents(), 0u);
  time_.advance(max_transaction_age + std::chrono::seconds(1));
  for (std::size_t pass = 0; pass < 2 * stuck && ring_->intents() > 0; ++pass) {
    Result<RecordsReport> report = time_.run(finish_records(muted, partition(0), &where, RowAges(), deadline()));
    EXPECT_FALSE(report) << "somebody does not answer";
  }
  EXPECT_EQ(ring_->intents(), 0u) << "the last record of all is looked after, too";
}

TEST_F(TransactionTest, FinishRecords_NothingThere_SaysSo) {
  Result<RecordsReport> report = time_.run(finish_all(partition(0)));
  ASSERT_TRUE(report);
  EXPECT_TRUE(report->none);
  RecordsPlace middle{"x", {}};
  report = time_.run(finish_records(other_, partition(0), &middle, RowAges(), deadline()));
  ASSERT_TRUE(report);
  EXPECT_FALSE(report->none) << "it did not look at what lies before";
  EXPECT_TRUE(middle.at_the_first());
}

// ---- Rows that transactions only add to: a directory's times and links.

Mutation add(const std::string& key, std::int64_t number) { return add_i64({key, "count"}, 0, number); }

class AddingTransactionTest : public TransactionTest {
 protected:
  AddingTransactionTest() {
    for (const std::string& key : keys_) {
      CommitRequest request;
      Mutation zero = put(key, std::string(8, '\0'));
      zero.row.sort = "count";
      request.mutations = {zero};
      EXPECT_TRUE(time_.run(store_.commit(std::move(request), deadline())));
    }
  }
  static Task<std::int64_t> count(ObjectStore& store, std::string key, TimePoint until) {
    ReadRequest request;
    request.gets.push_back({key, "count"});
    Result<ReadReply> reply = co_await store.read(std::move(request), until);
    if (!reply) co_return -1;
    co_return Reader(reply->gets[0].row.value.view()).i64();
  }
  std::int64_t count(ObjectStore& store, const std::string& key) { return time_.run(count(store, key, deadline())); }
  static TransactionPart adding(const std::string& key) {
    TransactionPart part;
    part.mutations = {add(key, 1)};
    return part;
  }
};

// The coordinator's process dies right after the commit: no part is resolved.
TEST_F(AddingTransactionTest, Commit_NothingResolvedYet_EverybodySeesTheAdditions) {
  MemoryObjectStore dying(time_, ring_, 77);
  std::unique_ptr<Transaction> transaction = dying.begin(deadline());
  for (const std::string& key : keys_) ASSERT_TRUE(time_.run(transaction->prepare(adding(key))));
  for (const std::string& key : keys_) EXPECT_EQ(count(other_, key), 0) << "pending";
  dying.fail_after(1);  // the flip
  ASSERT_TRUE(time_.run(transaction->commit()));
  ASSERT_GT(ring_->intents(), 0u);
  for (const std::string& key : keys_) EXPECT_EQ(count(other_, key), 1);
  EXPECT_EQ(ring_->intents(), 0u);
}

TEST_F(AddingTransactionTest, TwoThatAddToOneRow_PassEachOther) {
  std::unique_ptr<Transaction> first = store_.begin(deadline());
  std::unique_ptr<Transaction> second = other_.begin(deadline());
  for (Transaction* one : {first.get(), second.get()}) {
    for (const std::string& key : keys_) ASSERT_TRUE(time_.run(one->prepare(adding(key))));
  }
  const std::size_t before = store_.operations() + other_.operations();
  CommitRequest create;
  create.mutations = {add(keys_[1], 10)};
  ASSERT_TRUE(time_.run(other_.commit(std::move(create), deadline())));
  EXPECT_EQ(store_.operations() + other_.operations(), before + 1) << "neither does a batch that adds wait";
  ASSERT_TRUE(time_.run(second->commit()));
  EXPECT_EQ(count(store_, keys_[1]), 11);
  ASSERT_TRUE(time_.run(first->commit()));
  EXPECT_EQ(count(other_, keys_[1]), 12);
  EXPECT_EQ(ring_->intents() + ring_->records(), 0u);
}

TEST_F(AddingTransactionTest, Commit_ReturnsBeforePartsThatHoldTheirRowsAloneAreResolved) {
  store_.set_latency(std::chrono::milliseconds(10));
  auto timed = [&](bool adds) {
    std::unique_ptr<Transaction> transaction = store_.begin(deadline());
    EXPECT_TRUE(time_.run(transaction->prepare(adding(keys_[0]))));
    EXPECT_TRUE(time_.run(transaction->prepare(adds ? adding(keys_[1]) : part(keys_[1], "new"))));
    const std::size_t before = store_.operations();
    EXPECT_TRUE(time_.run(transaction->commit()));
    EXPECT_EQ(ring_->intents(), adds ? 0u : 2u) << "its lock and its part";
    time_.run(store_.finish_transactions(deadline()));
    EXPECT_EQ(ring_->intents() + ring_->records(), 0u);
    return store_.operations() - before;
  };
  EXPECT_EQ(timed(false), 3u) << "flip, resolve, forget";
  EXPECT_EQ(timed(true), 3u);
}

TEST_F(TransactionTest, Commit_RowsOfSeveralPartitionsOrReservedKeys_IsInvalid) {
  CommitRequest request;
  EXPECT_EQ(time_.run(store_.commit(request, deadline())).error().code, ErrorCode::invalid_argument);
  request.mutations = {put(keys_[0], "x"), put(keys_[1], "x")};
  EXPECT_EQ(time_.run(store_.commit(request, deadline())).error().code, ErrorCode::invalid_argument);
  request.mutations = {put(record_key, "x")};
  EXPECT_EQ(time_.run(store_.commit(request, deadline())).error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(store_.operations(), 0u);
}

}  // namespace
}  // namespace ringfs::dht

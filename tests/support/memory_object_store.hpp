// The ring in one process, for tests of whatever is written over ObjectStore: the evaluator, reads, locks and
// transactions are the real ones, over MemoryRows for each partition.
//
// Several stores over one MemoryRing are several mounts. Faults: fail_commits, fail_after (the process dies), hold and
// release (interleave coroutines). Time is virtual (tests/support/virtual_time.hpp). Threads: one loop.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <set>

#include "dht/core/protocol/operations.hpp"
#include "dht/net/client/partitioned_store.hpp"
#include "tests/support/memory_rows.hpp"
#include "tests/support/virtual_time.hpp"

namespace ringfs {

struct MemoryRing {
  struct Partition {
    MemoryRows rows;
    std::uint64_t index = 0;
    Stamp stamp;
  };
  unsigned partition_bits = 8;
  std::map<PartitionId, Partition> partitions;

  BatchResult apply(PartitionId partition, const Batch& batch, Stamp now);
  // Rows under lock_key and part_key in all partitions: 0 when no transaction left anything behind.
  std::size_t intents() const;
  std::size_t records() const;
};

class MemoryObjectStore : public dht::PartitionedStore {
 public:
  MemoryObjectStore(VirtualTime& time, std::shared_ptr<MemoryRing> ring, std::uint64_t seed = 1,
                    dht::TransactionFaults faults = {});

  Task<Result<ReadReply>> read_raw(PartitionId partition, ReadRequest request, TimePoint deadline) override;
  Task<Result<BatchResult>> commit_raw(PartitionId partition, std::vector<Condition> conditions,
                                       std::vector<Mutation> mutations, TimePoint deadline) override;
  bool may_settle() const override { return settles_ == nullptr; }
  Task<Result<dht::LockFate>> settle_elsewhere(PartitionId where, RecordRef lock, TimePoint deadline) override;
  unsigned partition_bits() const override { return ring_->partition_bits; }
  Clock clock() const override { return {time_.clock().now, time_.clock().stamp + clock_error_}; }
  Random& random() override { return random_; }
  Task<void> sleep(Duration duration) override { return time_.sleep(duration); }
  // Takes real time: a background task sleeps again and again, so virtual time would run away with it.
  Task<void> sleep_beside(Duration duration) override;

  // From now on this client has the role reader, and this store settles locks for it, as a node's.
  void only_read(dht::PartitionedStore& settles) { settles_ = &settles; }

  // ---- Faults.
  // The next `count` commits end with `error`; executed: they happened all the same. 0: what was asked for before is
  // forgotten.
  void fail_commits(std::size_t count, ErrorCode error, bool executed = false);
  // Before what fail_commits asks for next: that many commits go well.
  void succeed_commits(std::size_t count);
  void fail_reads(std::size_t count, ErrorCode error);
  // `count` more operations are carried out, all later ones time out without being executed: as if the process had
  // died.
  void fail_after(std::size_t count) { operations_left_ = count; }
  void revive() { operations_left_.reset(); }
  // Operations wait before they are executed until they are released, oldest first.
  void hold() { holding_ = true; }
  // Commits are executed and their answers wait, until they are released like operations.
  void hold_answers(bool hold) { holding_answers_ = hold; }
  void release_one();
  void release_newest();
  void release_all();
  std::size_t held() const { return held_.size(); }
  void set_latency(Duration latency) { latency_ = latency; }
  void set_clock_error(Duration error) { clock_error_ = error; }  // of this mount's wall clock

  // ---- Counts: round trips to the ring.
  std::size_t reads() const { return reads_; }
  std::size_t commits() const { return commits_; }
  std::size_t operations() const { return reads_ + commits_; }
  MemoryRing& ring() { return *ring_; }

 private:
  struct Fault {
    std::optional<ErrorCode> error;  // none: it goes well
    bool executed = false;
  };

  Task<Status> arrive();
  Status check_role(const dht::Operation& operation) const;
  Task<void> wait_for_release();
  std::optional<Fault> next_fault(std::deque<Fault>& faults);

  VirtualTime& time_;
  std::shared_ptr<MemoryRing> ring_;
  SeededRandom random_;
  const Uuid client_;
  struct Sequences {
    std::uint64_t last = 0;
    std::set<std::uint64_t> outstanding;
  };
  Task<Result<BatchResult>> execute(PartitionId partition, EncodedBatch encoded, TimePoint deadline);

  dht::PartitionedStore* settles_ = nullptr;
  std::map<PartitionId, Sequences> sequences_;
  std::deque<Fault> commit_faults_;
  std::deque<Fault> read_faults_;
  std::optional<std::size_t> operations_left_;
  bool holding_ = false;
  bool holding_answers_ = false;
  std::deque<std::shared_ptr<boost::asio::steady_timer>> held_;
  Duration latency_{0};
  Duration clock_error_{0};
  std::size_t reads_ = 0;
  std::size_t commits_ = 0;
};

}  // namespace ringfs

// What a group's leader has promised to readers: that a row does not change before a moment, so that a client may
// answer from its memory until then (docs/design.md#row-leases; Gray and Cheriton, "Leases", SOSP 1989, without
// recall).
//
// A row that a pending transaction holds is not promised either, and resolving the transaction waits for nobody: the
// rows themselves say who holds them (locks.hpp), in the same snapshot that a reader gets, so what is read with a lock
// is not remembered (LeasedRows), and a batch that changed such a row is answered without a promise
// (BatchResult::held). Preparing waits like any other change.
//
// A promise is given only while no batch under way changes the row, and no longer than nobody else can be leader. A
// batch that changes a promised row enters the log when the promise has ended; from its arrival on no new promise is
// given for its rows, so that it waits at most max_row_lease once. A client's own batches do not wait for its own
// promises: it knows what it changes. A row that another client changed a moment ago is not promised at all, so that
// mounts that share a directory do not wait for each other. That a row is absent is promised for absent_row_lease only:
// just long enough for the change that follows the look, so that mounts which race for a name do not wait for each
// other. Threads: none. Limits: max_leased_rows; beyond it no promise is given. Rows are told apart by a 64-bit hash:
// two rows that share one wait for each other needlessly.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <vector>

#include "dht/base/rows.hpp"
#include "dht/base/time.hpp"
#include "dht/core/protocol/raft_types.hpp"

namespace ringfs::dht {

inline constexpr Duration max_row_lease = std::chrono::milliseconds(100);
inline constexpr Duration absent_row_lease = std::chrono::milliseconds(10);
inline constexpr Duration row_contention_pause = std::chrono::seconds(2);  // after another client's change: no promise
inline constexpr std::size_t max_leased_rows = 16384;                      // of one group

// The rows that a batch changes, or may change.
struct RowChanges {
  Uuid client;
  std::vector<std::uint64_t> rows;    // ascending
  std::vector<std::uint64_t> erased;  // those of them that are absent afterwards
  bool everything = false;            // a prefix: any row
  bool prepares = false;              // they change when the transaction ends, without asking
  Duration lease{};                   // that the client wants for them when it has happened
};
RowChanges changed_rows(const Batch& batch);
std::uint64_t row_hash(const RowAddress& row);

class RowLeases {
 public:
  // Promises that none of the rows changes before `until`. False: it cannot, and nothing happened.
  bool grant(const Uuid& client, const std::vector<std::uint64_t>& rows, TimePoint until, TimePoint now);
  // The row was absent when it was read, so nobody was promised more: those who asked before were told the same.
  void found_absent(std::uint64_t row, TimePoint now);

  // A batch arrived: from now on until its end no promise for its rows is given. Returns when it may enter the log.
  TimePoint begin(const RowChanges& changes, TimePoint now);
  // It is the log's entry `index` now: it ends when that is applied.
  void entered(LogIndex index, RowChanges changes) { in_log_.emplace_back(index, std::move(changes)); }
  // Everything up to this entry ends; returns what the entry itself changed, if it is one of those that entered.
  std::optional<RowChanges> applied(LogIndex through);
  // It will never enter the log.
  void end(const RowChanges& changes);

  TimePoint last_until() const { return last_until_; }  // of all promises
  void clear();                                         // leadership ended

 private:
  struct Row {
    TimePoint until = TimePoint::min();
    Uuid holder;  // nil: several
    std::uint32_t under_way = 0;
    Uuid writer;  // of the last change
    TimePoint written = TimePoint::min();
    TimePoint contended = TimePoint::min();  // another client than the last one changed it
  };

  bool promised(const Row& row, TimePoint now) const { return row.until > now; }
  bool contended(const Row& row, const Uuid& client, TimePoint now) const;
  bool room(std::size_t rows, TimePoint now);

  std::map<std::uint64_t, Row> rows_;
  std::map<Uuid, TimePoint> clients_;  // the last promise to each
  std::deque<std::pair<LogIndex, RowChanges>> in_log_;
  std::size_t everything_under_way_ = 0;
  std::size_t sweep_at_ = 1024;
  TimePoint next_sweep_ = TimePoint::min();
  TimePoint last_until_ = TimePoint::min();
};

}  // namespace ringfs::dht

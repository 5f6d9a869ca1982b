// Row leases with recall: a group's leader grants a client the right to answer reads of a row from its memory until a
// moment (docs/design.md#row-leases; Gray and Cheriton, "Leases", SOSP 1989).
//
// A lease is granted only while no batch under way changes the row. A batch that changes a leased row recalls the lease
// from each holder and enters the log when all have released it, or when the lease has ended. From its arrival on
// nobody is granted a new lease on its rows, so it waits for max_row_lease at most. A client's own leases do not delay
// its own batches: it knows what it changes. A row that another client changed within row_contention_pause gets no
// lease, so that mounts that share a directory do not recall from each other all the time. A lease on an absent row
// lasts for absent_row_lease only: long enough for the change that follows the look-up, so that mounts that race for a
// name do not wait for each other.
//
// A row that a pending transaction holds gets no lease either, and resolving the transaction waits for nobody. The rows
// themselves say who holds them (locks.hpp), in the same snapshot that a reader gets. So LeasedRows does not remember
// what was read with a lock, and a batch that changed such a row is answered without a lease (BatchResult::held).
// Preparing waits like any other change.
//
// Grants and recalls are numbered. A release names its recall, and ends only what was granted before: messages may
// overtake each other. Which leases outlive the leader lease, and what a next leader does about them:
// dht/core/raft/former_leases.hpp.
//
// Threads: none. Limits: max_leased_rows, max_row_holders; beyond them no lease is granted. Rows are told apart by a
// 64-bit hash: two rows that share one wait for each other needlessly.
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

inline constexpr Duration max_row_lease = std::chrono::milliseconds(1500);
inline constexpr Duration brief_row_lease = std::chrono::milliseconds(100);  // never outlives the leader lease
inline constexpr Duration absent_row_lease = std::chrono::milliseconds(10);
inline constexpr Duration row_contention_pause = std::chrono::seconds(2);  // after another client's change: no lease
inline constexpr std::size_t max_leased_rows = 16384;                      // of one group
inline constexpr std::size_t max_row_holders = 16;                         // clients with a lease on one row

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

class RowLeases {
 public:
  // None of the rows changes before `until` without a recall. False: that cannot be granted, and nothing happened.
  bool grant(const Uuid& client, const std::vector<std::uint64_t>& rows, TimePoint until, TimePoint now);
  // For rows that were found by a read which began at `mark`: those that no batch has changed since. Returns the places
  // of the others, ascending; no value: none is granted.
  std::uint64_t mark() const { return last_number_; }
  std::optional<std::vector<std::uint32_t>> grant_found(const Uuid& client, const std::vector<std::uint64_t>& rows,
                                                        std::uint64_t mark, TimePoint until, TimePoint now);
  // The row was absent when it was read: the lease on it is the short one, for those who asked before, too.
  void found_absent(std::uint64_t row, TimePoint now);

  // A batch arrived: from now on until its end no lease on its rows is granted.
  void begin(const RowChanges& changes, TimePoint now);
  // When it may enter the log if no lease is released; `now` or earlier: at once.
  TimePoint free_at(const RowChanges& changes, TimePoint now) const;
  // It is the log's entry `index` now: it ends when that is applied.
  void entered(LogIndex index, RowChanges changes) { in_log_.emplace_back(index, std::move(changes)); }
  // Everything up to this entry ends; returns what the entry itself changed, if it is one of those that entered.
  std::optional<RowChanges> applied(LogIndex through);
  // It will never enter the log.
  void end(const RowChanges& changes);

  // What a batch needs back, from each client but its own.
  struct Wanted {
    std::uint64_t number = 0;  // of the recall
    bool everything = false;
    std::vector<std::uint64_t> rows;
  };
  std::map<Uuid, Wanted> recall(const RowChanges& changes, TimePoint now);
  std::uint64_t next_number() { return ++last_number_; }  // of a recall of what somebody else granted
  // The client has forgotten what it was granted before the recall of that number.
  void released(const Uuid& client, std::uint64_t number, bool everything, const std::vector<std::uint64_t>& rows);

  struct Holder {
    Uuid client;
    TimePoint until;
  };
  std::vector<Holder> holders(TimePoint now) const;  // of any lease, each with its last one
  std::size_t size() const { return rows_.size(); }
  void clear();  // leadership ended

 private:
  struct Grant {
    Uuid client;
    TimePoint until;
    std::uint64_t number = 0;
  };
  struct Row {
    std::vector<Grant> grants;
    std::uint32_t under_way = 0;
    std::uint64_t ended = 0;  // the number of the last change's end
    Uuid writer;              // of the last change
    TimePoint written = TimePoint::min();
    TimePoint contended = TimePoint::min();  // another client than the last one changed it
  };
  struct Client {
    TimePoint until = TimePoint::min();  // of its last lease
    std::uint64_t number = 0;            // likewise
    std::uint64_t released = 0;          // everything that was granted before this number
  };

  bool holds(const Grant& grant, TimePoint now) const;
  bool leased(const Row& row, TimePoint now) const;
  bool may_grant(std::uint64_t hash, const Uuid& client, TimePoint now) const;
  bool contended(const Row& row, const Uuid& client, TimePoint now) const;
  bool room(std::size_t rows, TimePoint now);
  void add_grant(std::uint64_t hash, const Uuid& client, TimePoint until, std::uint64_t number, TimePoint now);

  std::map<std::uint64_t, Row> rows_;
  std::map<Uuid, Client> clients_;
  std::deque<std::pair<LogIndex, RowChanges>> in_log_;
  std::size_t everything_under_way_ = 0;
  std::uint64_t last_number_ = 0;  // of grants, recalls and ends of changes
  // The number of the last end of a change of any row, or of a row that is not among rows_ any more.
  std::uint64_t everything_ended_ = 0;
  std::size_t sweep_at_ = 1024;
  TimePoint next_sweep_ = TimePoint::min();
};

}  // namespace ringfs::dht

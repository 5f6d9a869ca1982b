// What a partition remembers of each client's batches, so that none is executed twice (docs/design.md#exactly-once).
//
// One row per client under dedup_key: the highest first_incomplete, until when the row is needed and the results of the
// sequences at or above first_incomplete. A result is forgotten when first_incomplete passes it or it is older than
// dedup_life: by then the batch has expired (expires <= stamp + max_batch_life), so a copy of it can only be refused.
//
// That proof needs stamps of one log and nothing else: a batch is executed by an entry whose stamp lies in [expires -
// max_batch_life, expires]; stamps never go back within a log; its result is kept for dedup_life = 2 * max_batch_life
// in stamps, so it is there until the log's time has passed expires + max_batch_life at least. No clock of a node, a
// client or the ring enters the proof: they decide only how fast a log's time goes on (log_clock.hpp). It also tells a
// client which "expired" proves that nothing happened (object_client.cpp, certainly_not_executed).
//
// A batch that was refused because it expires too far ahead is remembered until it has expired: its client was told
// that it was not executed, so a copy of it must not be when its time has come. Limits: max_remembered results a client
// and partition. Threads: as evaluate().
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "dht/core/rows/evaluate.hpp"

namespace ringfs::dht {

// A correct client has far fewer batches in flight in one partition. One that has more is refused; nothing is forgotten
// for its sake.
inline constexpr std::size_t max_remembered = 1024;
static_assert(dedup_life >= 2 * max_batch_life);

class DedupRecord {
 public:
  static DedupRecord load(RowReader& rows, const Uuid& client);

  std::optional<BatchResult> find(std::uint64_t sequence) const;
  bool is_superseded(std::uint64_t sequence) const { return sequence < first_incomplete_; }
  // No room to remember one more result after raising first_incomplete: the batch must not be executed.
  bool is_full(std::uint64_t first_incomplete, Stamp now) const;
  void remember(const Batch& batch, const BatchResult& result);
  void store(RowWriter& rows, const Uuid& client, std::uint64_t index) const;

 private:
  struct Entry {
    std::uint64_t sequence = 0;
    BatchResult result;
  };
  bool is_forgettable(const Entry& entry, Stamp now) const;

  std::uint64_t first_incomplete_ = 0;
  Stamp keep_until_;            // no batch that this record knows of can be executed later
  std::vector<Entry> entries_;  // ascending by sequence
};

// Every sweep_interval entries, looks at the next sweep_rows clients after a cursor kept in a row and forgets those
// that are not needed any more. Each client's turn comes: the cursor wraps around.
inline constexpr std::uint64_t sweep_interval = 256;
inline constexpr std::size_t sweep_rows = 64;
void sweep_dedup(RowWriter& rows, Stamp now, std::uint64_t index);

}  // namespace ringfs::dht

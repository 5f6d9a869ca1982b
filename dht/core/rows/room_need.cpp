// Counting what a batch adds and what it removes.
#include "dht/core/rows/room_need.hpp"

#include <algorithm>

#include "dht/base/row_ages.hpp"
#include "dht/core/protocol/members_table.hpp"

namespace ringfs::dht {

namespace {

struct Tally {
  std::size_t gone = 0;   // rows or parts of rows that go, transactions that end
  std::size_t marks = 0;  // changed in place
  std::size_t notes = 0;  // small rows put beside
  bool grows = false;
};

// Transactions end by their records, and begin with one: a removal that needs two partitions must be able to. The
// members table is how the ring gets a node that has room.
bool is_of_the_ring(const RowAddress& row) { return row.key == record_key || row.key == members_key; }

// One row a partition, overwritten while something waits to be removed: nothing is removed without it.
bool is_marks(const RowAddress& row) { return row.sort == marks_sort; }

void count(const Mutation& mutation, Tally& tally) {
  switch (mutation.kind) {
    case Mutation::Kind::erase:
    case Mutation::Kind::erase_prefix:
    case Mutation::Kind::resolve:
    case Mutation::Kind::truncate: ++tally.gone; return;
    case Mutation::Kind::add_i64:
    case Mutation::Kind::max_i64: ++tally.marks; return;
    case Mutation::Kind::write_bytes:
      ++tally.marks;
      tally.grows = tally.grows || mutation.value.size() > most_mark_bytes || mutation.offset > most_mark_bytes;
      return;
    case Mutation::Kind::put:
      if (is_of_the_ring(mutation.row) || (is_marks(mutation.row) && mutation.value.size() <= max_marks_bytes))
        ++tally.marks;
      else if (mutation.value.size() <= most_note_bytes)
        ++tally.notes;
      else
        tally.grows = true;
      return;
    case Mutation::Kind::prepare:
      ++tally.marks;
      for (const Mutation& part : mutation.part) count(part, tally);
      return;
  }
  tally.grows = true;
}

// Rows that the batch makes: it demands that they are not there.
std::size_t new_rows(const Batch& batch) {
  auto makes = [](const std::vector<Mutation>& mutations, const RowAddress& row) {
    return std::any_of(mutations.begin(), mutations.end(), [&](const Mutation& one) {
      return (one.kind == Mutation::Kind::put || one.kind == Mutation::Kind::write_bytes) && one.row == row;
    });
  };
  return static_cast<std::size_t>(
      std::count_if(batch.conditions.begin(), batch.conditions.end(), [&](const Condition& condition) {
        const bool absent = condition.kind == Condition::Kind::absent ||
                            (condition.kind == Condition::Kind::version_equals && condition.version == 0);
        if (!absent || is_of_the_ring(condition.row) || is_marks(condition.row)) return false;
        return makes(batch.mutations, condition.row) ||
               std::any_of(batch.mutations.begin(), batch.mutations.end(),
                           [&](const Mutation& one) { return makes(one.part, condition.row); });
      }));
}

}  // namespace

bool needs_no_room(const Batch& batch) {
  Tally tally;
  for (const Mutation& mutation : batch.mutations) count(mutation, tally);
  if (tally.grows) return false;
  if (tally.gone + tally.marks == 0 && tally.notes > 0) return false;  // nothing but new rows
  return new_rows(batch) <= tally.gone;
}

bool needs_no_room(const Entry& entry) {
  if (entry.kind != EntryKind::batch) return true;
  Result<Batch> batch = decode_batch(entry.head, entry.blobs);
  return !batch || needs_no_room(*batch);
}

}  // namespace ringfs::dht

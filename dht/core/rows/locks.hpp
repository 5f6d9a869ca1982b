// Which rows of a partition pending transactions hold (docs/design.md#transactions).
//
// A transaction holds a row alone if it puts, erases, overwrites or merely locks it: nobody else changes the row until
// it ends. A row to which it only adds (add_i64, max_i64) it holds together with others: their additions of the same
// kind pass it, for the order of those does not matter, and so does whatever leaves the bytes of the addition alone.
// Everything else meets the lock, reads above all: between the commit and the resolve the addition has happened and the
// row does not show it yet. For the same reason no lease on a held row is granted. Every replica sees the locks in the
// snapshot that it reads: no leader has to remember them.
//
// A lock is a row under lock_key: sort = 32-bit length of the object's key, the key, the sort key; value = the holders.
// A key's length comes first so that all locks of one object are neighbours and none of another object lies between.
// Nearly always a partition holds no lock at all: one probe finds that out and nothing else is read. Threads: none of
// its own; lives as long as one evaluate() or execute_read(). Limits: max_row_holders; one more meets the lock
// of the first.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "dht/core/rows/evaluate.hpp"

namespace ringfs::dht {

std::string lock_sort(const std::string& key, const std::string& sort);
std::string part_sort(const RecordRef& record);
std::string encode_record_ref(const RecordRef& record);

// 64 bits of a row at `offset` that are added to or raised. A batch that does both at one place moves a number forward,
// as changes do with times (fs/change_set.hpp, move_time). Several may move one number: their order matters by no more
// than what was added. A batch that only adds, or only raises, does not pass one that moves.
struct Addition {
  enum class Kind : std::uint8_t {
    add = static_cast<std::uint8_t>(Mutation::Kind::add_i64),
    raise = static_cast<std::uint8_t>(Mutation::Kind::max_i64),
    move = 128,
  };
  Kind kind{};
  std::uint32_t offset = 0;
  friend auto operator<=>(const Addition&, const Addition&) = default;
};

struct RowHolder {
  RecordRef record;
  std::optional<Addition> addition;  // none: it holds the row alone, and is the only one
  friend auto operator<=>(const RowHolder&, const RowHolder&) = default;
};
std::string encode(const std::vector<RowHolder>& holders);
std::vector<RowHolder> decode_row_holders(std::string_view value);

// What a prepare holds from then on.
struct Holding {
  std::set<RowAddress> alone;
  std::map<RowAddress, std::set<Addition>> additions;  // to rows that it does not hold alone
};
Holding holding_of(const Mutation& prepare);

class Locks {
 public:
  explicit Locks(RowReader& rows) : rows_(rows) {}

  bool any();
  std::vector<RowHolder> holders(const RowAddress& row);
  // Locks of rows of the object whose sort keys start with `prefix` and are > after (if that is not empty), ascending,
  // until visit returns false.
  void scan(const std::string& key, const std::string& prefix, const std::string& after,
            const std::function<bool(const std::string& sort, const std::vector<RowHolder>& holders)>& visit);

 private:
  RowReader& rows_;
  std::optional<bool> any_;
};

// The first row or prefix that the batch names and a transaction holds against it. The batch's own transactions (those
// that it prepares) do not count; resolve asks nobody.
std::optional<RecordRef> find_lock(const Batch& batch, Locks& locks);

// Whether a transaction adds to a row that the batch changes and that find_lock() let it change.
bool changes_held_row(const Batch& batch, Locks& locks);

}  // namespace ringfs::dht

// What a batch's mutations will do, worked out completely before the first row changes: a batch is all or nothing, also
// when its last mutation is invalid.
//
// The plan sees the rows as they will be after the steps so far (put then add_i64 of one row works) without touching
// the store. Threads: as evaluate(). Errors: invalid_argument when a mutation overflows; the plan is then thrown away.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "dht/core/rows/locks.hpp"

namespace ringfs::dht {

class MutationPlan {
 public:
  // `no_add_locks`: EvaluateFaults.
  explicit MutationPlan(RowReader& rows, bool no_add_locks = false) : rows_(rows), no_add_locks_(no_add_locks) {}

  Status add(const Mutation& mutation);
  // Each row is written once, however many mutations name it.
  void carry_out(RowWriter& rows, std::uint64_t index) const;

 private:
  // Arithmetic that overflows is refused while the client can still be told; a committed transaction's part cannot fail
  // any more, so there it stops at the end of the range.
  enum class Overflow { refuse, saturate };

  // A row as the mutations so far leave it. Overwrites are kept beside the value until the bytes are needed: two
  // small writes into a large row copy it once at most.
  struct Image {
    std::optional<SharedBytes> value;
    std::vector<std::pair<std::uint32_t, SharedBytes>> patches;
    bool changed = false;
    bool stored = false;  // `value` is what the store holds
  };

  Status apply(const Mutation& mutation, Overflow overflow);
  Status arithmetic(const Mutation& mutation, Overflow overflow);
  void write_bytes(const Mutation& mutation);
  void truncate(const Mutation& mutation);
  Status prepare(const Mutation& mutation);
  Status resolve(const Mutation& mutation);
  void hold(const Mutation& prepare, const Holding& holding);
  void let_go(const RowAddress& row, const RecordRef& record);

  Image& image(const RowAddress& row);
  static SharedBytes patched(const Image& image);
  const std::optional<SharedBytes>& current(const RowAddress& row);
  void put(const RowAddress& row, SharedBytes value);
  void erase(const RowAddress& row);
  void erase_prefix(const RowAddress& row);
  void overwrite(const RowAddress& row, std::uint32_t offset, SharedBytes bytes);

  RowReader& rows_;
  const bool no_add_locks_;
  std::map<RowAddress, Image> images_;
  std::vector<RowAddress> erased_prefixes_;
};

}  // namespace ringfs::dht

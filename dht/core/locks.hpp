// Which rows of a partition pending transactions hold (design 5, "Several objects at once").
//
// A lock is a row under lock_key: sort = 32-bit length of the object's key, the key, the sort key; value = RecordRef. A
// key's length comes first so that all locks of one object are neighbours and none of another object lies between.
// Nearly always a partition holds no lock at all: one probe finds that out and nothing else is read. Threads: none of
// its own; lives as long as one evaluate() or execute_read().
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "dht/core/evaluate.hpp"

namespace ringfs {

std::string lock_sort(const std::string& key, const std::string& sort);
std::string part_sort(const RecordRef& record);
std::string encode_record_ref(const RecordRef& record);

class Locks {
 public:
  explicit Locks(RowReader& rows) : rows_(rows) {}

  bool any();
  std::optional<RecordRef> holder(const RowAddress& row);
  // Locks of rows of the object whose sort keys start with `prefix` and are > after (if that is not empty), ascending,
  // until visit returns false.
  void scan(const std::string& key, const std::string& prefix, const std::string& after,
            const std::function<bool(const std::string& sort, const RecordRef& record)>& visit);

 private:
  RowReader& rows_;
  std::optional<bool> any_;
};

// The first row or prefix that the batch names and a transaction holds. The batch's own transactions (those that it
// prepares) do not count; resolve asks nobody.
std::optional<RecordRef> find_lock(const Batch& batch, Locks& locks);

}  // namespace ringfs

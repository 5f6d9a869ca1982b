// Claims: a janitor's statement in a partition's own log that it will destroy what is garbage by now, and how old that
// is.
//
// A claim is a write of one row of the partition (claim_row). The log entry that carries it has an index and a stamp:
// every row whose version is not above the index has not changed since that stamp. A row that is changed later (by a
// mount that holds it, by a conversion that ends) leaves the claim by its new version. The janitor destroys on
// condition of the version that it claimed. The row also holds the marks of earlier claims, so that another janitor can
// go on.
//
// Threads: one loop. Errors: those of ObjectStore; aborted: another janitor was faster. Limits: one row a partition,
// max_marks marks in it; in memory the marks of the partitions that this process cleans.
#pragma once

#include <map>

#include "dht/base/object_store.hpp"
#include "dht/base/row_ages.hpp"

namespace ringfs::fs {

class Claims {
 public:
  Task<Result<RowAges>> claim(ObjectStore& store, PartitionId partition, TimePoint deadline);

 private:
  std::map<PartitionId, RowAges> last_;  // claims of this process, each with its own mark, which its row cannot hold
};

std::string encode(const std::vector<LogMark>& marks);
Result<std::vector<LogMark>> decode_marks(std::string_view bytes);

}  // namespace ringfs::fs

// Claims: how a janitor says in a partition's own log "what is garbage by now is mine, unless somebody changes it", and
// how old that is.
//
// A claim is a write of one row of the partition (claim_row). The entry that carries it has an index and a stamp: every
// row whose version is not above the index has been as it is since that stamp, and whoever changes a row in between (a
// mount that holds it, a conversion that ends) takes it out of the claim without knowing of it. What is destroyed is
// destroyed on condition of the version that was claimed. The row holds the marks of earlier claims, so that another
// janitor goes on where this one stops.
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
  std::map<PartitionId, RowAges>
      last_;  // by this process, with the mark of the claim itself, which its own row cannot hold
};

std::string encode(const std::vector<LogMark>& marks);
Result<std::vector<LogMark>> decode_marks(std::string_view bytes);

}  // namespace ringfs::fs

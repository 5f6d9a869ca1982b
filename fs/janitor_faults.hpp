// Test-only switches of the janitor, so that the simulator can show what its claims are for
// (docs/design.md#proof-by-simulation).
#pragma once

#include "fs/file_system.hpp"

namespace ringfs::fs {

struct JanitorFaults {
  // Garbage and half-made directories are taken at once, whatever their age: only claims protect them.
  bool hasty = false;
  // They are destroyed without a claim.
  bool unclaimed = false;
};
Task<Result<JanitorReport>> janitor_pass(ObjectStore& store, PartitionId partition, RowAges ages, TimePoint deadline,
                                         JanitorFaults faults);

}  // namespace ringfs::fs

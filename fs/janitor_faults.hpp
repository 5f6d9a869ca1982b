// Test-only switches of the janitor, so that the simulator can show what its claims are for
// (docs/design.md#proof-by-simulation).
#pragma once

#include "fs/file_system.hpp"

namespace ringfs::fs {

struct JanitorFaults {
  bool hasty = false;  // garbage and half-made directories are taken at once, as if their time had come: claims alone
                       // protect them
  bool unclaimed = false;  // and destroyed without a claim
};
Task<Result<JanitorReport>> janitor_pass(ObjectStore& store, PartitionId partition, RowAges ages, TimePoint deadline,
                                         JanitorFaults faults);

}  // namespace ringfs::fs

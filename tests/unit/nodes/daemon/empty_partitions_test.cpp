// Which partitions the janitor leaves out.
#include "nodes/daemon/empty_partitions.hpp"

#include <gtest/gtest.h>

namespace ringfs::nodes {
namespace {

constexpr PartitionId one{1};
constexpr PartitionId other{2};

TEST(EmptyPartitions, PassThatMetNothing_CountsUntilSomethingIsApplied) {
  EmptyPartitions partitions;
  EXPECT_FALSE(partitions.still_empty(one, 7));
  partitions.note(one, 7, true);
  EXPECT_TRUE(partitions.still_empty(one, 7));
  EXPECT_FALSE(partitions.still_empty(one, 8));
  EXPECT_FALSE(partitions.still_empty(other, 7));
}

TEST(EmptyPartitions, PassThatMetSomething_IsDoneAgain) {
  EmptyPartitions partitions;
  partitions.note(one, 7, true);
  partitions.note(one, 7, false);
  EXPECT_FALSE(partitions.still_empty(one, 7));
}

}  // namespace
}  // namespace ringfs::nodes

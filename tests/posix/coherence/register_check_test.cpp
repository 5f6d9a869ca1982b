// Histories of registers that are linearizable, and that are not.
#include "tests/posix/coherence/register_check.hpp"

#include <gtest/gtest.h>

namespace ringfs::coherence {
namespace {

using Kind = Operation::Kind;

Operation operation(Kind kind, std::uint64_t called, std::uint64_t returned, std::uint64_t value) {
  return {called, returned, value, 0, kind, 0};
}

Verdict verdict(std::vector<Operation> history) { return check(history, 0).verdict; }

TEST(RegisterCheck, OneAfterTheOther_IsLinearizable) {
  EXPECT_EQ(verdict({operation(Kind::read, 0, 1, 0), operation(Kind::put, 2, 3, 7), operation(Kind::read, 4, 5, 7)}),
            Verdict::linearizable);
}

TEST(RegisterCheck, AReadOfAnOverwrittenValue_IsNot) {
  EXPECT_EQ(verdict({operation(Kind::put, 0, 1, 7), operation(Kind::put, 2, 3, 8), operation(Kind::read, 4, 5, 7)}),
            Verdict::not_linearizable);
}

TEST(RegisterCheck, AConcurrentPut_IsSeenOrNotButNotBothWays) {
  EXPECT_EQ(verdict({operation(Kind::put, 0, 9, 7), operation(Kind::read, 1, 2, 0), operation(Kind::read, 3, 4, 7)}),
            Verdict::linearizable);
  EXPECT_EQ(verdict({operation(Kind::put, 0, 9, 7), operation(Kind::read, 1, 2, 7), operation(Kind::read, 3, 4, 0)}),
            Verdict::not_linearizable);
}

TEST(RegisterCheck, TwoCreations_NeedAnErasureBetween) {
  EXPECT_EQ(verdict({operation(Kind::create, 0, 5, 7), operation(Kind::create, 0, 5, 8)}), Verdict::not_linearizable);
  EXPECT_EQ(
      verdict({operation(Kind::create, 0, 5, 7), operation(Kind::create, 0, 5, 8), operation(Kind::erase, 1, 4, 0)}),
      Verdict::linearizable);
}

TEST(RegisterCheck, Refusals_SayWhatWasThere) {
  EXPECT_EQ(verdict({operation(Kind::create_found, 0, 1, 0)}), Verdict::not_linearizable);
  EXPECT_EQ(verdict({operation(Kind::put, 0, 1, 7), operation(Kind::erase_found, 2, 3, 0)}), Verdict::not_linearizable);
  EXPECT_EQ(verdict({operation(Kind::put, 0, 3, 7), operation(Kind::erase_found, 2, 3, 0)}), Verdict::linearizable);
}

TEST(RegisterCheck, WithoutAnAnswer_ItMayHappenLateOrNever) {
  const Operation put = operation(Kind::put, 0, Operation::unanswered, 7);
  EXPECT_EQ(verdict({put, operation(Kind::read, 5, 6, 0), operation(Kind::read, 7, 8, 7)}), Verdict::linearizable);
  EXPECT_EQ(verdict({put, operation(Kind::read, 5, 6, 0)}), Verdict::linearizable);
  EXPECT_EQ(verdict({put, operation(Kind::read, 5, 6, 7), operation(Kind::read, 7, 8, 0)}), Verdict::not_linearizable);
}

TEST(RegisterCheck, ALongHistory_IsCheckedToItsEnd) {
  std::vector<Operation> history;
  for (std::uint64_t i = 1; i <= 50'000; ++i) {
    history.push_back(operation(Kind::put, 10 * i, 10 * i + 12, i));
    history.push_back(operation(Kind::read, 10 * i + 3, 10 * i + 9, i));
  }
  EXPECT_EQ(verdict(history), Verdict::linearizable);
  history.push_back(operation(Kind::read, 600'000, 600'001, 49'998));
  EXPECT_EQ(verdict(history), Verdict::not_linearizable);
}

}  // namespace
}  // namespace ringfs::coherence

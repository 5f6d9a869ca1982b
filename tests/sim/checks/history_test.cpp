// Histories that are linearizable and histories that are not.
#include "tests/sim/checks/history.hpp"

#include <gtest/gtest.h>

namespace ringfs::sim {
namespace {

using Kind = RegisterOperation::Kind;

TimePoint at(int second) { return TimePoint(std::chrono::seconds(second)); }

RegisterOperation read(int from, int to, RegisterState seen) {
  return {Kind::read, {}, 0, at(from), at(to), true, seen};
}
RegisterOperation write(int from, int to, std::int64_t value) {
  return {Kind::write, {}, value, at(from), at(to), true, {}};
}
RegisterOperation unheard(RegisterOperation operation) {
  operation.returned = never;
  return operation;
}
RegisterOperation swap(int from, int to, RegisterState expected, std::int64_t value, bool applied) {
  return {Kind::compare_and_set, expected, value, at(from), at(to), applied, {}};
}

TEST(History, OneAfterTheOther_IsLinearizable) {
  EXPECT_EQ(check({read(0, 1, {}), write(2, 3, 7), read(4, 5, {true, 7})}), Verdict::linearizable);
}

TEST(History, ReadOfAnOverwrittenValue_IsNot) {
  EXPECT_EQ(check({write(0, 1, 7), write(2, 3, 8), read(4, 5, {true, 7})}), Verdict::not_linearizable);
}

TEST(History, ConcurrentWrite_MayBeSeenOrNot) {
  EXPECT_EQ(check({write(0, 1, 7), write(2, 9, 8), read(3, 4, {true, 7}), read(5, 6, {true, 8})}),
            Verdict::linearizable);
}

TEST(History, ConcurrentWriteSeenAndUnseen_IsNot) {
  EXPECT_EQ(check({write(0, 1, 7), write(2, 9, 8), read(3, 4, {true, 8}), read(5, 6, {true, 7})}),
            Verdict::not_linearizable);
}

TEST(History, UnheardWrite_MayHappenLateOrNever) {
  EXPECT_EQ(check({write(0, 1, 7), unheard(write(2, 0, 8)), read(3, 4, {true, 7}), read(50, 51, {true, 8})}),
            Verdict::linearizable);
  EXPECT_EQ(check({write(0, 1, 7), unheard(write(2, 0, 8)), read(3, 4, {true, 7})}), Verdict::linearizable);
}

TEST(History, UnheardWriteBeforeItsCall_IsNot) {
  EXPECT_EQ(check({read(0, 1, {true, 8}), unheard(write(2, 0, 8))}), Verdict::not_linearizable);
}

TEST(History, LostAcknowledgedWrite_IsNot) {
  EXPECT_EQ(check({write(0, 1, 7), read(2, 3, {})}), Verdict::not_linearizable);
}

TEST(History, TwoWinnersOfOneCompareAndSet_AreNot) {
  EXPECT_EQ(check({write(0, 1, 1), swap(2, 5, {true, 1}, 2, true), swap(2, 5, {true, 1}, 3, true)}),
            Verdict::not_linearizable);
  EXPECT_EQ(check({write(0, 1, 1), swap(2, 5, {true, 1}, 2, true), swap(2, 5, {true, 1}, 3, false)}),
            Verdict::linearizable);
}

TEST(History, AdditionExecutedTwice_IsNot) {
  RegisterOperation add{Kind::add, {}, 5, at(2), at(3), true, {}};
  EXPECT_EQ(check({write(0, 1, 10), add, read(4, 5, {true, 20})}), Verdict::not_linearizable);
  EXPECT_EQ(check({write(0, 1, 10), add, read(4, 5, {true, 15})}), Verdict::linearizable);
}

TEST(History, UnheardAdditionTwice_IsNot) {
  RegisterOperation add{Kind::add, {}, 5, at(2), never, true, {}};
  EXPECT_EQ(check({write(0, 1, 10), add, read(4, 5, {true, 20})}), Verdict::not_linearizable);
}

TEST(History, ManyUnheardWritesThatNobodySaw_AreDecided) {
  // Simulator seed 1991: two dozen operations without an answer, then concurrent ones whose right order is not the
  // first that is tried.
  std::vector<RegisterOperation> history{write(0, 1, 7000)};
  for (int i = 0; i < 24; ++i) history.push_back(unheard(write(2, 0, 8000 + 1000 * i)));
  history.push_back(unheard({Kind::erase, {}, 0, at(2), at(0), true, {}}));
  history.push_back(write(10, 20, 101000));
  history.push_back(write(11, 21, 102000));
  history.push_back(write(12, 22, 103000));
  history.push_back(read(23, 24, {true, 101000}));
  EXPECT_EQ(check(history), Verdict::linearizable);
  history.back().seen.value = 7000;
  EXPECT_EQ(check(history), Verdict::not_linearizable);
}

TEST(History, UnheardWriteThatExplainsARefusal_IsNotForgotten) {
  EXPECT_EQ(check({write(0, 1, 7), unheard(write(2, 0, 8)), swap(3, 4, {true, 7}, 9, false)}), Verdict::linearizable);
  EXPECT_EQ(check({write(0, 1, 7), swap(3, 4, {true, 7}, 9, false)}), Verdict::not_linearizable);
}

TEST(History, UnheardWriteSeenThroughAdditionsOrAnotherUnheardOne_IsNotForgotten) {
  const RegisterOperation add{Kind::add, {}, 2, at(3), at(4), true, {}};
  EXPECT_EQ(check({write(0, 1, 7), unheard(write(2, 0, 80)), add, read(5, 6, {true, 82})}), Verdict::linearizable);
  EXPECT_EQ(check({write(0, 1, 7), unheard(write(2, 0, 80)), unheard(swap(2, 0, {true, 80}, 90, true)),
                   read(5, 6, {true, 90})}),
            Verdict::linearizable);
}

// One of two nodes was away for a minute: whatever a client asked may have happened.
TEST(History, ManyUnheardOperations_AreDecided) {
  RegisterState absent;
  auto add = [](int from, int to, std::int64_t number) {
    return RegisterOperation{Kind::add, {}, number, at(from), at(to), true, {}};
  };
  std::vector<RegisterOperation> history = {unheard(write(65744, 0, 141000)),
                                            unheard(swap(65817, 0, absent, 142000, true)),
                                            unheard(write(66144, 0, 143000)),
                                            unheard(swap(75494, 0, absent, 152000, true)),
                                            unheard(write(77271, 0, 154000)),
                                            unheard(write(86880, 0, 162000)),
                                            unheard(swap(92074, 0, absent, 169000, true)),
                                            unheard(add(97401, 0, 9)),
                                            unheard(write(102141, 0, 176000)),
                                            unheard(add(105794, 0, 8)),
                                            unheard(write(122361, 0, 191000)),
                                            unheard(write(126003, 0, 193000)),
                                            add(127364, 132127, 7),
                                            read(127383, 132107, {true, 162000}),
                                            read(127603, 132169, {true, 162007}),
                                            swap(130992, 133188, absent, 195000, true),
                                            write(131040, 132672, 196000),
                                            {Kind::erase, {}, 0, at(131971), at(133033), true, {}},
                                            swap(132076, 132559, absent, 200000, false),
                                            read(132142, 132144, {true, 162007}),
                                            read(134272, 134274, {true, 195000})};
  EXPECT_EQ(check(history), Verdict::linearizable);
  history.push_back(read(134280, 134290, {true, 196000}));
  EXPECT_EQ(check(history), Verdict::not_linearizable);
}

}  // namespace
}  // namespace ringfs::sim

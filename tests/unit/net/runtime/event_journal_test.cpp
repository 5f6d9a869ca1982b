// What the journal of events keeps.
#include "dht/net/runtime/event_journal.hpp"

#include <gtest/gtest.h>

#include <algorithm>

namespace ringfs::dht {
namespace {

using About = EventJournal::About;

TEST(EventJournal, After_ASequence_GivesTheNewerOnes) {
  EventJournal journal(3);
  EXPECT_TRUE(journal.after(0).empty());
  journal.add(About::ring, "a", "x=1", Stamp{5});
  journal.add(About::ring, "b", "", Stamp{6});
  const std::vector<NodeEvent> all = journal.after(0);
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0].name, "a");
  EXPECT_EQ(all[0].detail, "x=1");
  EXPECT_EQ(all[0].time, Stamp{5});
  EXPECT_LT(all[0].sequence, all[1].sequence);
  const std::vector<NodeEvent> rest = journal.after(all[0].sequence);
  ASSERT_EQ(rest.size(), 1u);
  EXPECT_EQ(rest[0].name, "b");
  EXPECT_TRUE(journal.after(all[1].sequence).empty());
}

TEST(EventJournal, Sequences_OfALaterProcess_AreGreater) {
  EventJournal before(3), after(4);
  for (int i = 0; i < 100; ++i) before.add(About::ring, "a", "", Stamp{});
  after.add(About::ring, "b", "", Stamp{});
  const std::uint64_t seen = before.after(0).back().sequence;
  EXPECT_EQ(after.after(seen).size(), 1u);
}

TEST(EventJournal, Events_TooManyAndTooLong_AreCut) {
  EventJournal journal(1);
  for (std::size_t i = 0; i < max_events + 10; ++i)
    journal.add(About::partition, std::to_string(i), std::string(1000, 'x'), Stamp{});
  const std::vector<NodeEvent> all = journal.after(0);
  ASSERT_EQ(all.size(), max_events);
  EXPECT_EQ(all.front().name, "10");
  EXPECT_EQ(all.front().detail.size(), max_event_text);
}

TEST(EventJournal, ManyOfPartitions_DoNotPushOutThoseOfTheRing) {
  EventJournal journal(1);
  journal.add(About::partition, "first", "", Stamp{});
  journal.add(About::ring, "member_up", "", Stamp{});
  for (std::size_t i = 0; i < max_events; ++i) journal.add(About::partition, "leader_elected", "", Stamp{});
  journal.add(About::ring, "member_dead", "", Stamp{});
  const std::vector<NodeEvent> all = journal.after(0);
  ASSERT_EQ(all.size(), max_events + 2);
  EXPECT_EQ(all.front().name, "member_up");
  EXPECT_EQ(all.back().name, "member_dead");
  EXPECT_TRUE(
      std::is_sorted(all.begin(), all.end(), [](auto& left, auto& right) { return left.sequence < right.sequence; }));
}

}  // namespace
}  // namespace ringfs::dht

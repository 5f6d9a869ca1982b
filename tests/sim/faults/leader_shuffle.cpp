// The plays of a leader shuffle: when the leader falls silent, and to whom.
#include "tests/sim/faults/leader_shuffle.hpp"

#include <iterator>

namespace ringfs::sim {

namespace {
using std::chrono::milliseconds;

constexpr Duration timeout = std::chrono::seconds(4);  // for a round with its election
constexpr Duration look_interval = milliseconds(1);
constexpr Duration longest_ripening = milliseconds(20);
constexpr Duration ripening_look = std::chrono::microseconds(100);
}  // namespace

bool LeaderShuffle::start() {
  if (cluster_.size() < 3 || playing_) return false;
  playing_ = true;
  Play play;
  play.give_up = world_.now() + timeout;
  play.partition = static_cast<PartitionId>(world_.between(0, (1u << cluster_.options().partition_bits) - 1));
  play.figure_8 = world_.chance(0.5);
  play.rounds = static_cast<unsigned>(world_.between(play.figure_8 ? 4 : 2, 6));
  await_leader(play);
  return true;
}

void LeaderShuffle::end(const Play& play) {
  playing_ = false;
  if (play.silent) silence(*play.silent, false);
}

void LeaderShuffle::await_leader(Play play) {
  auto [term, leader] = cluster_.invariants().newest_leader(play.partition);
  if (stopped_ || play.round == play.rounds || world_.now() > play.give_up) return end(play);
  if (term <= play.last_term) {
    world_.after(look_interval, [=, this] { await_leader(play); });
    return;
  }
  play.last_term = term;
  play.leader = cluster_.find(leader)->index();
  switch (next_compaction(play)) {
    case Cut::at_once: world_.after(Duration(1), [=, this] { silence_leader(play); }); break;
    case Cut::soon:
      world_.after(world_.between(Duration(1), milliseconds(12)), [=, this] { silence_leader(play); });
      break;
    case Cut::ripe:
      play.give_up = world_.now() + longest_ripening;
      for (unsigned i = 0; i < cluster_.size(); ++i) {
        const GroupState* group = durable_group(i, play.partition);
        play.ends.push_back(group == nullptr ? 0 : group->last_index());
      }
      silence_when_ripe(play);
      break;
  }
}

// Figure 8 has two leaders none of whose entries leave them, and then the first one again, some of whose old entries
// leave.
LeaderShuffle::Cut LeaderShuffle::next_compaction(const Play& play) {
  constexpr Cut figure_8[] = {Cut::at_once, Cut::at_once, Cut::ripe};
  if (play.figure_8) return figure_8[play.round % std::size(figure_8)];
  return world_.chance(0.5) ? Cut::at_once : Cut::soon;
}

void LeaderShuffle::silence_when_ripe(Play play) {
  if (stopped_) return end(play);
  if (earlier_terms_spread(play) || world_.now() > play.give_up) return silence_leader(play);
  world_.after(ripening_look, [=, this] { silence_when_ripe(play); });
}

const GroupState* LeaderShuffle::durable_group(unsigned node, PartitionId partition) {
  const DiskState& disk = cluster_.node(node).durable_disk();
  auto group = disk.groups.find(partition);
  return group == disk.groups.end() ? nullptr : &group->second;
}

// Some follower has just got uncommitted entries of earlier terms from the leader, and nothing of the leader's own
// term.
bool LeaderShuffle::earlier_terms_spread(const Play& play) {
  const GroupState* leaders = durable_group(play.leader, play.partition);
  if (leaders == nullptr) return false;
  for (unsigned i = 0; i < cluster_.size(); ++i) {
    const GroupState* group = i == play.leader ? nullptr : durable_group(i, play.partition);
    if (group == nullptr || group->last_index() == play.ends[i]) continue;
    dht::LogIndex last = group->last_index();
    dht::Term term = group->term_at(last);
    if (last > cluster_.invariants().highest_committed(play.partition) && term < play.last_term &&
        term == leaders->term_at(last)) {
      return true;
    }
  }
  return false;
}

void LeaderShuffle::silence_leader(Play play) {
  if (stopped_) return end(play);
  if (play.silent) silence(*play.silent, false);
  play.silent = play.leader;
  silence(play.leader, true);
  ++play.round;
  play.ends.clear();
  // What clients write to it now reaches nobody else.
  const Duration pause = world_.between(Duration(1), milliseconds(300));
  play.give_up = world_.now() + pause + timeout;
  world_.after(pause, [=, this] { await_leader(play); });
}

void LeaderShuffle::silence(unsigned node, bool silent) {
  for (unsigned i = 0; i < cluster_.size(); ++i) {
    if (i == node) continue;
    if (silent)
      cluster_.network().block(node, i);
    else
      cluster_.network().unblock(node, i);
  }
}

}  // namespace ringfs::sim

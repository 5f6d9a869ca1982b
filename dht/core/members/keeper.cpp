// Which members change their state, from the reports of all nodes.
#include "dht/core/members/keeper.hpp"

#include <algorithm>

#include "dht/core/members/placed_members.hpp"

namespace ringfs::dht {

void MembersKeeper::report(const Uuid& node, std::uint64_t table_version, const NodeReport& report, TimePoint now) {
  if (reports_.size() >= max_members && !reports_.contains(node)) return;
  reports_[node] = {table_version, now, report};
}

std::vector<Member> MembersKeeper::wanted_changes(const MembersTable& table, std::size_t partitions, TimePoint now) {
  std::erase_if(reports_, [&](const auto& entry) {
    return entry.second.received + report_life < now || entry.second.table_version != table.version;
  });
  std::vector<Member> changes;
  auto change = [&](Member member, MemberState state) {
    member.state = state;
    changes.push_back(std::move(member));
  };
  const bool all_covered = covers_all(partitions);
  for (const Member& member : table.members) {
    const bool alive = reports_.contains(member.id);
    const bool settled = all_covered && !unsettled(member.id);
    if (member.state == MemberState::dead && alive) change(member, MemberState::joining);
    if (member.state == MemberState::joining && alive && settled) change(member, MemberState::up);
    if (member.state == MemberState::leaving && settled) change(member, MemberState::removed);
  }
  if (!changes.empty()) return changes;
  if (std::optional<Member> dead = dead_member(table)) change(*dead, MemberState::dead);
  return changes;
}

// For each partition some report is of its leader.
bool MembersKeeper::covers_all(std::size_t partitions) const {
  std::set<PartitionId> led;
  for (const auto& [node, report] : reports_) led.insert(report.content.led.begin(), report.content.led.end());
  return led.size() == partitions;
}

bool MembersKeeper::unsettled(const Uuid& member) const {
  return std::any_of(reports_.begin(), reports_.end(), [&](const auto& entry) {
    const std::vector<Uuid>& left = entry.second.content.unsettled;
    return std::find(left.begin(), left.end(), member) != left.end();
  });
}

std::optional<Member> MembersKeeper::dead_member(const MembersTable& table) const {
  std::size_t placed = 0;
  std::size_t dead = 0;
  for (const Member& member : table.members) {
    placed += is_placed(member) ? 1 : 0;
    dead += member.state == MemberState::dead ? 1 : 0;
  }
  const bool most_live = 3 * (dead + 1) <= placed + dead;  // more than a third: the network is partitioned
  const bool substitute = placed > table.replication();    // otherwise the groups would only shrink
  if (!most_live || !substitute) return std::nullopt;
  for (const Member& member : table.members) {
    if (is_placed(member) && silent_for_most(table, member.id)) return member;
  }
  return std::nullopt;
}

bool MembersKeeper::silent_for_most(const MembersTable& table, const Uuid& member) const {
  std::size_t others = 0;
  std::size_t say_so = 0;
  for (const Member& other : table.members) {
    if (!is_placed(other) || other.id == member) continue;
    ++others;
    auto report = reports_.find(other.id);
    if (report == reports_.end()) continue;
    const std::vector<Uuid>& silent = report->second.content.silent;
    say_so += std::find(silent.begin(), silent.end(), member) != silent.end() ? 1 : 0;
  }
  return 2 * say_so > others;
}

}  // namespace ringfs::dht

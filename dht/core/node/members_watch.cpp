// Pings, reports, and the batches that change members' states.
#include "dht/core/node/members_watch.hpp"

#include <algorithm>
#include <functional>
#include <set>

#include "dht/core/members/change.hpp"
#include "dht/core/members/placed_members.hpp"

namespace ringfs::dht {

namespace {

constexpr Duration ping_after = std::chrono::seconds(2);          // without hearing a member: ask it
constexpr Duration table_change_life = std::chrono::seconds(10);  // of a batch that changes the table
// Before the next one, if the version does not change.
constexpr Duration table_change_timeout = std::chrono::seconds(3);

}  // namespace

void MembersWatch::start() {
  started_at_ = now();
  report_at_ = now() + report_interval;
}

void MembersWatch::set_table(const MembersTable& table) {
  std::erase_if(heard_, [&table](const auto& entry) { return table.find(entry.first) == nullptr; });
}

void MembersWatch::heard(const Uuid& node, std::uint64_t version) {
  Heard& heard = heard_[node];
  heard.at = now();
  if (version <= ring_.table.version) heard.agreed = now();
}

void MembersWatch::on(const Header& header, const Ping& message) {
  if (!message.answer) services_.out.send(header.source, Ping{true});
}

void MembersWatch::on(const Header& header, const NodeReport& message) {
  keeper_.report(header.source, header.table_version, message, now());
}

void MembersWatch::report() {
  report_at_ = now() + report_interval;
  for (const Member& member : ring_.table.members) {
    const bool asked = member.id != services_.self && member.state != MemberState::removed &&
                       last_heard(member.id).at + ping_after <= now();
    if (asked) services_.out.send(member.id, Ping{});
  }
  NodeReport report = make_report();
  for (const Uuid& node : services_.placement.preference_list(ring_.table_partition)) {
    if (node != services_.self) services_.out.send(node, report);
  }
  Group* home = groups_.find(ring_.table_partition);
  if (home == nullptr || !home->holds_lease()) {
    keeper_.clear();
    return;
  }
  keeper_.report(services_.self, ring_.table.version, report, now());
  change_table(*home);
}

MembersWatch::Heard MembersWatch::last_heard(const Uuid& node) const {
  const auto known = heard_.find(node);
  const Heard heard = known == heard_.end() ? Heard{} : known->second;
  return {std::max(heard.at, started_at_), std::max(heard.agreed, started_at_)};
}

// A change of the table is committed by a majority of its replicas, so of any majority one knows it. Nodes that join
// count from when they are up: one that never comes must not be waited for.
TimePoint MembersWatch::table_confirmed_at() const {
  const Group* home = groups_.find(ring_.table_partition);
  if (home != nullptr && home->holds_lease()) return now();
  const std::vector<Uuid>& placed = services_.placement.preference_list(ring_.table_partition);
  const auto is_up = [this](const Uuid& node) { return ring_.table.find(node)->state == MemberState::up; };
  const bool some_are_up = std::any_of(placed.begin(), placed.end(), is_up);
  std::vector<TimePoint> agreed;
  for (const Uuid& node : placed) {
    if (some_are_up && !is_up(node)) continue;
    agreed.push_back(node == services_.self ? now() : last_heard(node).agreed);
  }
  if (agreed.empty()) return started_at_;
  std::sort(agreed.begin(), agreed.end(), std::greater<>());
  return agreed[agreed.size() / 2];
}

NodeReport MembersWatch::make_report() const {
  NodeReport report;
  const std::vector<Member>& members = ring_.table.members;
  const bool moving = std::any_of(members.begin(), members.end(), [](const Member& member) {
    return member.state == MemberState::joining || member.state == MemberState::leaving;
  });
  std::set<Uuid> unsettled;
  for (const auto& [partition, group] : groups_.all()) {
    if (!moving || !group->holds_lease()) continue;
    report.led.push_back(partition);
    for (const Member& member : members) {
      if (member.state == MemberState::joining && group->leader()->membership().owes(member.id))
        unsettled.insert(member.id);
      if (member.state == MemberState::leaving && group->state().log().names_node(member.id))
        unsettled.insert(member.id);
    }
  }
  report.unsettled.assign(unsettled.begin(), unsettled.end());
  const Duration timeout = ring_.table.replace_after();
  for (const Member& member : members) {
    if (member.id != services_.self && is_placed(member) && last_heard(member.id).at + timeout <= now())
      report.silent.push_back(member.id);
  }
  return report;
}

void MembersWatch::change_table(Group& home) {
  if (now() < next_change_) return;
  std::vector<Member> changes = keeper_.wanted_changes(ring_.table, services_.placement.partitions(), now());
  if (changes.empty()) return;
  next_change_ = now() + table_change_timeout;
  for (const Member& member : changes) {
    services_.out.event("member_" + std::string(to_string(member.state)), "node=" + member.id.text());
  }
  MembersChange change = change_members(ring_.table, changes);
  Batch batch;
  batch.client = services_.self;
  batch.sequence = batch.first_incomplete = ++last_change_;
  batch.expires = home.state().log().next_stamp() + table_change_life;
  batch.conditions = std::move(change.conditions);
  batch.mutations = std::move(change.mutations);
  RowChanges rows = changed_rows(batch);
  home.propose({.operation = no_operation,
                .batch = encode(batch),
                .changes = std::move(rows),
                .touches_members = true,
                .needs_room = false});
  groups_.watch(home);
}

}  // namespace ringfs::dht

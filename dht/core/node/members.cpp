// Who answers, what this node's groups still have to move, and what the leader of the table's partition makes of it
// (docs/design.md#members-table).
#include <algorithm>

#include "dht/core/members/change.hpp"
#include "dht/core/members/placed_members.hpp"
#include "dht/core/node/implementation.hpp"

namespace ringfs::dht {

namespace {

constexpr Duration ping_after = std::chrono::seconds(2);          // without hearing a member: ask it
constexpr Duration table_change_life = std::chrono::seconds(10);  // of a batch that changes the table
constexpr Duration table_change_timeout =
    std::chrono::seconds(3);  // before the next one, if the version does not change

}  // namespace

// Once a report_interval.
void Node::Implementation::tend_members() {
  report_at_ = now() + report_interval;
  judge_fitness();
  for (const Member& member : table_.members) {
    const bool asked =
        member.id != self_ && member.state != MemberState::removed && heard(member.id) + ping_after <= now();
    if (asked) out_.send(member.id, Ping{});
  }
  NodeReport report = make_report();
  for (const Uuid& node : services_.placement.preference_list(table_partition_)) {
    if (node != self_) out_.send(node, report);
  }
  Group* home = group(table_partition_);
  if (home == nullptr || !home->holds_lease()) {
    keeper_.clear();
    return;
  }
  keeper_.report(self_, table_.version, report, now());
  keep_table(*home);
}

// Once a tick.
void Node::Implementation::keep_time() {
  if (!options_.faults.believe_last_node) ring_time_.update(services_.clock, voices_, self_);
  services_.ring_time = ring_time_.at(now());
  const std::optional<Duration> error = ring_time_.own_error();
  if (!error) return;
  const bool wrong = *error > tolerated_clock_error || *error < -tolerated_clock_error;
  if (wrong == clock_wrong_) return;
  clock_wrong_ = wrong;
  out_.event(wrong ? "clock_wrong" : "clock_right", "ahead_us=" + std::to_string(error->count()));
}

TimePoint Node::Implementation::heard(const Uuid& node) const {
  auto known = heard_.find(node);
  return known == heard_.end() ? started_at_ : std::max(known->second, started_at_);
}

NodeReport Node::Implementation::make_report() const {
  NodeReport report;
  const bool moving = std::any_of(table_.members.begin(), table_.members.end(), [](const Member& member) {
    return member.state == MemberState::joining || member.state == MemberState::leaving;
  });
  std::set<Uuid> unsettled;
  for (const auto& [partition, group] : groups_) {
    if (!moving || !group->holds_lease()) continue;
    report.led.push_back(partition);
    for (const Member& member : table_.members) {
      if (member.state == MemberState::joining && group->leader()->membership().owes(member.id))
        unsettled.insert(member.id);
      if (member.state == MemberState::leaving && group->state().log().names_node(member.id))
        unsettled.insert(member.id);
    }
  }
  report.unsettled.assign(unsettled.begin(), unsettled.end());
  const Duration timeout = table_.replace_after();
  for (const Member& member : table_.members) {
    if (member.id != self_ && is_placed(member) && heard(member.id) + timeout <= now())
      report.silent.push_back(member.id);
  }
  return report;
}

void Node::Implementation::keep_table(Group& home) {
  if (now() < next_table_change_) return;
  std::vector<Member> changes = keeper_.wanted_changes(table_, services_.placement.partitions(), now());
  if (changes.empty()) return;
  next_table_change_ = now() + table_change_timeout;
  for (const Member& member : changes) {
    out_.event("member_" + std::string(to_string(member.state)), "node=" + member.id.text());
  }
  MembersChange change = change_members(table_, changes);
  Batch batch;
  batch.client = self_;
  batch.sequence = batch.first_incomplete = ++last_table_change_;
  batch.expires = home.state().log().next_stamp() + table_change_life;
  batch.conditions = std::move(change.conditions);
  batch.mutations = std::move(change.mutations);
  RowChanges rows = changed_rows(batch);
  home.propose({.operation = no_operation,
                .batch = encode(batch),
                .changes = std::move(rows),
                .touches_members = true,
                .needs_room = false});
  watch(home);
}

void Node::Implementation::on(const Uuid& source, const Ping& message) {
  if (!message.answer) out_.send(source, Ping{true});
}

}  // namespace ringfs::dht

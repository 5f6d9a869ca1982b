// When the groups of a node have something to do, and what all of them are told.
#include "dht/core/node/groups.hpp"

#include <algorithm>
#include <utility>

#include "dht/core/raft/compaction.hpp"

namespace ringfs::dht {

Group* Groups::find(PartitionId partition) const {
  auto found = groups_.find(partition);
  return found == groups_.end() ? nullptr : found->second.get();
}

Group& Groups::add(const PersistedGroup& persisted, bool created, bool holds_members_table) {
  auto group = std::make_unique<Group>(persisted, created, holds_members_table, services_);
  watch(*group);
  auto [place, fresh] = groups_.emplace(persisted.partition, std::move(group));
  RINGFS_CHECK(fresh);
  return *place->second;
}

void Groups::watch(const Group& group) {
  tick_at_ = std::min(tick_at_, group.deadline());
  if (group.leader() != nullptr && interval_at_ == never) interval_at_ = now() + heartbeat_interval();
}

void Groups::peer_restarted(const Uuid& peer) {
  for (auto& [partition, group] : groups_) group->peer_restarted(peer);
}

void Groups::peer_disconnected(const Uuid& peer) {
  for (auto& [partition, group] : groups_) {
    group->peer_disconnected(peer);
    watch(*group);
  }
}

void Groups::heard_room(const Uuid& peer, Room room) {
  Room& known = services_.peer_rooms.try_emplace(peer, Room::ample).first->second;
  const bool more = room > known;
  known = room;
  if (!more) return;
  for (auto& [partition, group] : groups_) group->peer_has_room(peer);
}

void Groups::drop_staged_snapshots() {
  for (auto& [partition, group] : groups_) group->drop_staged_snapshot();
}

// Less often while there is nothing to replicate, but so that the leader lease is renewed while it still allows row
// leases, and that whoever answers counts as answering. Rounds are at most one and a half intervals apart.
Duration Groups::heartbeat_interval() const {
  const Timing& timing = services_.timing;
  bool quiet = services_.active_at == TimePoint::min() || services_.active_at + quiet_after_ <= now();
  if (!quiet) return timing.heartbeat;
  auto usable = static_cast<std::int64_t>(static_cast<double>(timing.lease.count()) * (1.0 - timing.lease_margin));
  Duration renewed_in_time =
      Duration(usable) - brief_row_lease - timing.heartbeat / 5 - services_.distances.to_the_farthest(now());
  return std::max(timing.heartbeat, std::min(timing.heartbeat * 5 / 2, renewed_in_time));
}

bool Groups::interval_ended() {
  if (now() < interval_at_) return false;
  interval_at_ = never;
  services_.log_budget.retry();
  tick_at_ = never;  // most deadlines have moved on since: no wake-up for each that has not come
  for (auto& [partition, group] : groups_) {
    group->interval();
    watch(*group);
  }
  return leads();
}

void Groups::tick() {
  if (now() < tick_at_) return;
  tick_at_ = never;
  for (auto& [partition, group] : groups_) {
    group->tick();
    watch(*group);
  }
}

void Groups::flush() {
  for (PartitionId partition : std::exchange(services_.dirty, {})) {
    Group* one = find(partition);
    one->flush();
    watch(*one);
  }
}

// The rest of a large surplus, as after a start with another budget, waits for the turns that follow.
void Groups::keep_log_budget() {
  const bool idle = services_.appended_at + quiet_log_after <= now();
  services_.log_budget.set_share(services_.room != Room::ample ? short_log_share : idle ? quiet_log_share : 1);
  const std::size_t before = services_.log_budget.bytes();
  while (std::optional<LogBudget::Compaction> wanted = services_.log_budget.next()) {
    find(wanted->partition)->compact_for_budget(*wanted);
    if (before - services_.log_budget.bytes() >= LogLimits::turn_bytes) return;
  }
}

void Groups::shorten_interval() {
  if (leads() && services_.active_at == now())
    interval_at_ = std::min(interval_at_, now() + services_.timing.heartbeat);
}

}  // namespace ringfs::dht

// Sending heartbeats for all groups that this node leads, and answering those of others.
#include "dht/core/node/heartbeat_rounds.hpp"

#include <optional>
#include <utility>

namespace ringfs::dht {

// What to say to each peer that shares a group which this node leads. Made again only after a change.
const HeartbeatRounds::Lists& HeartbeatRounds::lists() {
  if (lists_of_ == services_.heartbeat_changes) return lists_;
  lists_of_ = services_.heartbeat_changes;
  lists_.clear();
  for (const auto& [partition, group] : groups_.all()) {
    const Leader* leader = group->leader();
    if (leader == nullptr) continue;
    for (const auto& [replica, progress] : leader->followers().all()) {
      std::optional<HeartbeatGroup> tuple = leader->heartbeat_for(replica);
      if (tuple) lists_[replica.node].push_back(*tuple);
    }
  }
  return lists_;
}

void HeartbeatRounds::send(const Uuid& peer, const Heartbeats::Groups& list) {
  Heartbeat heartbeat = heartbeats_.make(peer, list, ++services_.last_round, now());
  heartbeat.fitness = services_.fitness.report(now());
  heartbeat.asks = services_.ask_until > now();
  services_.out.send(peer, std::move(heartbeat));
}

// Those whose last round left with an answer a moment ago get their next one with an answer, too.
void HeartbeatRounds::send_due() {
  for (const auto& [peer, list] : lists()) {
    if (heartbeats_.due(peer, groups_.heartbeat_interval(), now())) send(peer, list);
  }
}

void HeartbeatRounds::send_to(const std::set<Uuid>& peers) {
  for (const auto& [peer, list] : lists()) {
    if (peers.contains(peer)) send(peer, list);
  }
}

void HeartbeatRounds::send_with_turn() {
  const bool may_send = urgent_sent_at_ == TimePoint::min() || urgent_sent_at_ + urgent_gap <= now();
  if (!services_.urgent_heartbeats.empty() && may_send) {
    urgent_sent_at_ = now();
    send_to(std::exchange(services_.urgent_heartbeats, {}));
  }
  if (!answered_.empty()) send_to(std::exchange(answered_, {}));
}

void HeartbeatRounds::on(const Uuid& source, const Heartbeat& message) {
  if (groups_.leads() && heartbeats_.due(source, groups_.heartbeat_interval(), now())) answered_.insert(source);
  services_.fitness.heard(source, message.fitness, now());
  if (message.asks) fitness_.probe_disk();
  HeartbeatReply reply;
  reply.round = message.round;
  reply.fitness = services_.fitness.report(now());
  reply.room = services_.room;
  reply.keeps_leases = true;
  std::shared_ptr<const Heartbeats::Groups> list = heartbeats_.groups_of(source, message);
  if (!list) {
    reply.unknown_digest = true;
    services_.out.send(source, std::move(reply));
    return;
  }
  for (const HeartbeatGroup& tuple : *list) {
    Group* one = groups_.find(tuple.partition);
    Group::HeartbeatAnswer answer;
    if (one != nullptr) {
      answer = one->heartbeat(source, tuple);
      groups_.watch(*one);
    }
    if (!answer.acknowledged)
      reply.refused.push_back({tuple.partition, answer.term, answer.damaged});
    else if (answer.damaged)
      reply.damaged.push_back(tuple.partition);
  }
  // At once, even if a new term is not durable yet: what the answer grants (no vote within the lease) is kept by a
  // restarted process as well, and it says nothing about the log.
  services_.out.send(source, std::move(reply));
}

void HeartbeatRounds::on(const Uuid& source, const HeartbeatReply& message) {
  services_.fitness.heard(source, message.fitness, now());
  groups_.heard_room(source, message.room);
  if (message.keeps_leases)
    services_.lease_keepers.insert(source);
  else
    services_.lease_keepers.erase(source);
  bool resend = false;
  std::optional<Heartbeats::Acknowledged> acknowledged = heartbeats_.acknowledge(source, message, resend);
  if (resend) services_.urgent_heartbeats.insert(source);
  if (!acknowledged) return;
  services_.distances.measured(source, now() - acknowledged->sent_at, now());
  // Both lists ascend by partition; a reply of another shape acknowledges less, never more.
  std::map<PartitionId, HeartbeatReply::Refusal> refused;
  for (const HeartbeatReply::Refusal& refusal : message.refused) refused[refusal.partition] = refusal;
  const std::set<PartitionId> damaged(message.damaged.begin(), message.damaged.end());
  for (const HeartbeatGroup& tuple : *acknowledged->groups) {
    Group* one = groups_.find(tuple.partition);
    if (one == nullptr) continue;
    auto refusal = refused.find(tuple.partition);
    if (refusal == refused.end()) {
      one->heartbeat_acknowledged(source, tuple, acknowledged->round, acknowledged->sent_at,
                                  damaged.contains(tuple.partition));
    } else {
      one->heartbeat_refused(source, tuple, refusal->second);
      groups_.watch(*one);
    }
  }
}

}  // namespace ringfs::dht

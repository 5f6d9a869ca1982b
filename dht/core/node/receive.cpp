// Messages from other nodes: who may speak (docs/design.md#node-identity), and to whom in here.
#include <utility>

#include "dht/core/node/implementation.hpp"

namespace ringfs::dht {

// Refusals are told, but a misconfigured peer must not fill the log.
void Node::Implementation::refused_event(const char* name, const Uuid& source) {
  auto [last, fresh] = refusal_events_.try_emplace(name, now());
  if (!fresh && last->second + refusal_event_gap > now()) return;
  last->second = now();
  out_.event(name, "source=" + source.text());
}

// Peers keep the highest incarnation that they saw of each node, also across their own restarts
// (docs/design.md#node-identity).
const char* Node::Implementation::identity_refusal(const Uuid& peer, const Incarnation& incarnation) const {
  if (peer == self_) return "clone_refused";  // somebody runs on a copy of this node's disk
  auto known = peers_.find(peer);
  if (known == peers_.end() || incarnation == known->second) return nullptr;
  if (incarnation.counter < known->second.counter) return "old_incarnation_refused";
  return incarnation.counter == known->second.counter ? "clone_refused" : nullptr;
}

Status Node::Implementation::check_peer(const Uuid& peer, const Incarnation& incarnation) {
  const char* refusal = identity_refusal(peer, incarnation);
  if (refusal == nullptr) return {};
  refused_event(refusal, peer);
  const std::string who = peer == self_ ? "is that node" : "has heard another process of node " + peer.text();
  return ringfs::fail(ErrorCode::cloned_identity, "node " + self_.text() + " " + who);
}

bool Node::Implementation::admit(const Header& header) {
  if (!genesis_ || header.ring != genesis_->ring) {
    refused_event("foreign_ring_refused", header.source);
    return false;
  }
  if (header.destination != self_) {
    refused_event("wrong_identity_refused", header.source);
    return false;
  }
  if (header.source != self_ && table_.find(header.source) == nullptr) {
    refused_event("stranger_refused", header.source);
    return false;
  }
  if (const char* refusal = identity_refusal(header.source, header.incarnation)) {
    refused_event(refusal, header.source);
    return false;
  }
  auto known = peers_.find(header.source);
  if (known == peers_.end()) {
    if (peers_.size() >= max_known_peers) return false;
    peers_.emplace(header.source, header.incarnation);
    out_.node_write().peer_incarnations.emplace_back(header.source, header.incarnation);
    return true;
  }
  if (header.incarnation == known->second) return true;
  known->second = header.incarnation;
  out_.node_write().peer_incarnations.emplace_back(header.source, header.incarnation);
  heartbeats_.forget(header.source);
  for (auto& [partition, group] : groups_) group->peer_restarted(header.source);
  return true;
}

void Node::Implementation::receive(const Envelope& envelope) {
  if (!admit(envelope.header)) return;
  const Uuid& source = envelope.header.source;
  heard_[source] = now();
  ring_time_.heard(source, envelope.header.stamp, now());
  if (options_.faults.believe_last_node) ring_time_.believe(envelope.header.stamp, now());
  if (disconnected_.erase(source) > 0) chord_->peer_heard(source);
  if (envelope.header.table_version > table_.version) fetch_table(source);
  std::visit(
      [&](const auto& message) {
        if constexpr (requires { message.raft; })
          on_group(source, message);
        else if constexpr (requires { message.unsettled; })
          keeper_.report(source, envelope.header.table_version, message, now());
        else if constexpr (requires { ChordMessage(message); })
          on_chord(source, message);
        else
          on(source, message);
      },
      envelope.message);
}

template <class ToGroup>
void Node::Implementation::on_group(const Uuid& source, const ToGroup& message) {
  Group* one = group(message.raft.partition);
  constexpr bool from_leader = std::is_same_v<ToGroup, Append> || std::is_same_v<ToGroup, SnapshotChunk>;
  if (from_leader && one == nullptr) one = new_replica(message.raft);
  if (one == nullptr) return;
  if constexpr (std::is_same_v<ToGroup, AppendReply> || std::is_same_v<ToGroup, SnapshotReply>)
    heard_room(source, message.room);
  one->receive(source, message);
  watch(*one);
}

// A leader made this node a learner of a group of which it never had a replica. Voters come into being only from
// genesis, whose replicas were added at index 0: a node that does not have its own lost its disk, and is nobody.
Group* Node::Implementation::new_replica(const RaftHeader& header) {
  if (header.destination_added == 0 || index_of(header.partition) >= services_.placement.partitions()) return nullptr;
  PersistedGroup nothing;
  nothing.partition = header.partition;
  nothing.replica = {self_, 0};
  nothing.holds_data = false;
  start_groups({nothing}, false);
  return group(header.partition);
}

template <class ToChord>
void Node::Implementation::on_chord(const Uuid& source, const ToChord& message) {
  chord_->receive(source, ChordMessage(message), now());
}

void Node::Implementation::on(const Uuid& source, const Heartbeat& message) {
  if (heartbeat_at_ != never && heartbeats_.due(source, heartbeat_interval(), now())) answered_.insert(source);
  services_.fitness.heard(source, message.fitness, now());
  if (message.asks) probe_disk();
  HeartbeatReply reply;
  reply.round = message.round;
  reply.fitness = services_.fitness.report(now());
  reply.room = services_.room;
  std::shared_ptr<const Heartbeats::Groups> list = heartbeats_.groups_of(source, message);
  if (!list) {
    reply.unknown_digest = true;
    out_.send(source, std::move(reply));
    return;
  }
  for (const HeartbeatGroup& tuple : *list) {
    Group* one = group(tuple.partition);
    Group::HeartbeatAnswer answer;
    if (one != nullptr) {
      answer = one->heartbeat(source, tuple);
      watch(*one);
    }
    if (!answer.acknowledged)
      reply.refused.push_back({tuple.partition, answer.term, answer.damaged});
    else if (answer.damaged)
      reply.damaged.push_back(tuple.partition);
  }
  // At once, even if a new term is not durable yet: what is promised here (no vote for L) is kept by a restarted
  // process as well, and says nothing about the log.
  out_.send(source, std::move(reply));
}

void Node::Implementation::on(const Uuid& source, const HeartbeatReply& message) {
  services_.fitness.heard(source, message.fitness, now());
  heard_room(source, message.room);
  bool resend = false;
  std::optional<Heartbeats::Acknowledged> acknowledged = heartbeats_.acknowledge(source, message, resend);
  if (resend) services_.urgent_heartbeats.insert(source);
  if (!acknowledged) return;
  // Both lists ascend by partition; a reply of another shape acknowledges less, never more.
  std::map<PartitionId, HeartbeatReply::Refusal> refused;
  for (const HeartbeatReply::Refusal& refusal : message.refused) refused[refusal.partition] = refusal;
  const std::set<PartitionId> damaged(message.damaged.begin(), message.damaged.end());
  for (const HeartbeatGroup& tuple : *acknowledged->groups) {
    Group* one = group(tuple.partition);
    if (one == nullptr) continue;
    auto refusal = refused.find(tuple.partition);
    if (refusal == refused.end()) {
      one->heartbeat_acknowledged(source, tuple, acknowledged->round, acknowledged->sent_at,
                                  damaged.contains(tuple.partition));
    } else {
      one->heartbeat_refused(source, tuple, refusal->second);
      watch(*one);
    }
  }
}

void Node::Implementation::on(const Uuid& source, const TableRequest&) {
  out_.send(source, TableReply{encode(table_)});
}

void Node::Implementation::on(const Uuid& source, const TableReply& message) {
  fetch_until_ = TimePoint::min();
  Result<MembersTable> table = decode_members_table(message.table);
  if (!table) {
    refused_event("malformed_table", source);
    return;
  }
  adopt(std::move(*table), "peer");
}

void Node::Implementation::peer_disconnected(const Uuid& peer) {
  if (!genesis_ || table_.find(peer) == nullptr) return;
  disconnected_.insert(peer);
  chord_->peer_failed(peer, now());
  for (auto& [partition, group] : groups_) {
    group->peer_disconnected(peer);
    watch(*group);
  }
}

}  // namespace ringfs::dht

// Heartbeat rounds: what is sent, what a reply acknowledges, which list a digest stands for.
#include "dht/core/raft/heartbeats.hpp"

#include "dht/base/bytes.hpp"
#include "dht/base/hash.hpp"

namespace ringfs::dht {

std::uint64_t digest_of(const std::vector<HeartbeatGroup>& groups) {
  Writer writer;
  writer.reserve(groups.size() * 36);
  for (const HeartbeatGroup& group : groups) {
    writer.u32(index_of(group.partition));
    writer.u64(group.term);
    writer.u64(group.commit);
    writer.u64(group.source_added);
    writer.u64(group.destination_added);
    writer.u64(group.leases.version);
    writer.u8(group.leases.unknown ? 1 : 0);
    writer.u32(static_cast<std::uint32_t>(group.leases.clients.size()));
    for (const Uuid& client : group.leases.clients)
      writer.raw({reinterpret_cast<const char*>(client.bytes.data()), client.bytes.size()});
  }
  return checksum(writer.bytes());
}

Heartbeat Heartbeats::make(const Uuid& peer, Groups groups, std::uint64_t round, TimePoint now) {
  Peer& state = peers_[peer];
  if (!state.last_sent || groups != *state.last_sent) {
    state.last_digest = digest_of(groups);
    state.last_sent = std::make_shared<const Groups>(std::move(groups));
  }
  Heartbeat heartbeat;
  heartbeat.round = round;
  heartbeat.digest = state.last_digest;
  heartbeat.full = !state.acknowledged || state.acknowledged_digest != state.last_digest;
  if (heartbeat.full) heartbeat.groups = *state.last_sent;
  state.sent_at = now;
  state.rounds.push_back({round, now, state.last_digest, state.last_sent});
  if (state.rounds.size() > max_unanswered_rounds) state.rounds.pop_front();
  return heartbeat;
}

bool Heartbeats::due(const Uuid& peer, Duration interval, TimePoint now) const {
  auto known = peers_.find(peer);
  return known == peers_.end() || known->second.sent_at == TimePoint::min() ||
         known->second.sent_at + interval / 2 <= now;
}

std::optional<Heartbeats::Acknowledged> Heartbeats::acknowledge(const Uuid& peer, const HeartbeatReply& reply,
                                                                bool& resend) {
  resend = false;
  auto known = peers_.find(peer);
  if (known == peers_.end()) return std::nullopt;
  Peer& state = known->second;
  for (auto round = state.rounds.begin(); round != state.rounds.end(); ++round) {
    if (round->number != reply.round) continue;
    if (reply.unknown_digest) {
      resend = state.acknowledged;  // otherwise a full list is on its way already
      state.acknowledged = false;
      state.rounds.erase(round);
      return std::nullopt;
    }
    Acknowledged acknowledged{round->number, round->sent_at, round->groups};
    state.acknowledged = true;
    state.acknowledged_digest = round->digest;
    state.rounds.erase(state.rounds.begin(), round + 1);  // older rounds say less
    return acknowledged;
  }
  return std::nullopt;
}

std::shared_ptr<const Heartbeats::Groups> Heartbeats::groups_of(const Uuid& peer, const Heartbeat& heartbeat) {
  Peer& state = peers_[peer];
  if (heartbeat.full) {
    std::uint64_t digest = digest_of(heartbeat.groups);
    if (digest != heartbeat.digest) return nullptr;
    state.received = std::make_shared<const Groups>(heartbeat.groups);
    state.received_digest = digest;
  }
  if (!state.received || state.received_digest != heartbeat.digest) return nullptr;
  return state.received;
}

void Heartbeats::forget(const Uuid& peer) { peers_.erase(peer); }

}  // namespace ringfs::dht

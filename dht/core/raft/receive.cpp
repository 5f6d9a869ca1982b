// Where the messages of a group come in: whom they are for, and what their terms do (message_rules.hpp).
#include "dht/core/raft/group.hpp"
#include "dht/core/raft/quorum.hpp"

namespace ringfs::dht {

namespace {

// The shape of a message; nothing of it is believed unchecked. Null: it is right; otherwise the event that tells of it.
template <class M>
const char* malformed(const M&) {
  return nullptr;
}

const char* malformed(const Append& message) {
  constexpr const char* event = "malformed_append";
  LogIndex index = message.previous_index;
  Term term = message.previous_term;
  for (const Entry& entry : message.entries) {
    if (entry.index != ++index || entry.term < term || entry.term > message.raft.term) return event;
    if (entry.kind < EntryKind::no_op || entry.kind > EntryKind::batch || entry.bytes() > UINT32_MAX) return event;
    if (entry.kind == EntryKind::configuration) {
      Result<Configuration> configuration = decode_configuration(entry.head.view());
      if (!configuration || configuration->voters.empty()) return event;
    }
    term = entry.term;
  }
  return nullptr;
}

const char* malformed(const SnapshotChunk& message) {
  Result<Configuration> configuration = decode_configuration(message.configuration);
  const bool right = configuration && !configuration->voters.empty() && message.last_term <= message.raft.term;
  return right ? nullptr : "malformed_snapshot";
}

}  // namespace

template <class M>
void Group::receive(const Uuid& source, const M& message) {
  const MessageRule rule = rule_of(message);
  if (!is_addressed(source, message.raft, rule.identity)) return;
  if (message.raft.term < state_.term() && rule.lower != MessageRule::Lower::judge) {
    // The answer tells a deposed leader the new term.
    if constexpr (requires { follower_.reply_to(message); })
      services_.out.send_after_write(source, follower_.reply_to(message));
    else if constexpr (requires { receiver_.reply_to(message); })
      services_.out.send_after_write(source, receiver_.reply_to(message));
    return;
  }
  if (const char* event = malformed(message)) {
    state_.event(event, "source=" + source.text());
    return;
  }
  if (!take_term(source, message.raft.term, rule)) return;
  if constexpr (requires { election_.receive(source, message); }) {
    election_.receive(source, message);
  } else if constexpr (requires { follower_.receive(source, message); }) {
    follower_.receive(source, message);
    // Behind what it did: only what the leader names from then on counts for a new voter.
    commitments_.former_leases.appended(message.raft.term, message.lease_version);
  } else if constexpr (requires { receiver_.receive(source, message); }) {
    receiver_.receive(source, message);
  } else if constexpr (requires { life_.receive(source, message); }) {
    life_.receive(source, message);
  } else if (Leader* leader = election_.leader()) {
    leader->receive(source, message);
  }
  check();
}

template void Group::receive(const Uuid&, const RequestVote&);
template void Group::receive(const Uuid&, const VoteReply&);
template void Group::receive(const Uuid&, const Append&);
template void Group::receive(const Uuid&, const AppendReply&);
template void Group::receive(const Uuid&, const TimeoutNow&);
template void Group::receive(const Uuid&, const SnapshotChunk&);
template void Group::receive(const Uuid&, const SnapshotReply&);
template void Group::receive(const Uuid&, const ReplicaQuery&);
template void Group::receive(const Uuid&, const ReplicaRemoved&);

// A leader's message is for this replica as it is, or as it becomes by that. What a removed one gets is late: it must
// not rise again.
bool Group::is_addressed(const Uuid& source, const RaftHeader& header, MessageRule::Identity identity) {
  using Identity = MessageRule::Identity;
  if (identity == Identity::any) return true;
  const bool accepted = state_.accepts(source, header);
  if (identity == Identity::present) return accepted;
  if (accepted && !state_.removed()) return true;
  if (identity == Identity::leads) return false;
  if (take_identity(header)) return true;
  if (header.destination_added <= state_.id().added || header.term >= state_.term()) return false;
  // A later life, perhaps, but of a leader whose term is over here: as for any follower, it must get a higher one.
  AppendReply reply;
  reply.raft = {state_.partition(), state_.term(), header.destination_added, header.source_added};
  services_.out.send_after_write(source, reply);
  return false;
}

// A leader addresses another life of this replica than the present one. True: it is that one from now on, without data.
// A higher index is a later life. A lower one under a higher term means that the entry which added the present life was
// never committed, so it never was a voter. Everything else is a late message.
//
// A leader that names this node by another index tells that the present life is over: it adds a node anew only when the
// configuration that excludes it is committed.
bool Group::take_identity(const RaftHeader& header) {
  const LogIndex added = header.destination_added;
  const ConfigurationAt committed = log_.committed_configuration();
  if (committed.index >= added && !committed.configuration.voters.empty() &&
      !names(committed.configuration, {services_.self, added})) {
    return false;  // that life is over, too
  }
  bool later = added > state_.id().added && header.term >= state_.term();
  bool instead = added < state_.id().added && header.term > state_.term();
  if (added == 0 || (!later && !instead)) return false;
  if (log_.applying()) return false;  // the leader says so again
  state_.event("replica_added", "added=" + std::to_string(added));
  reset_replica(added, committed);
  life_.ask_later();
  return true;
}

// False: the message goes no further.
bool Group::take_term(const Uuid& source, Term term, const MessageRule& rule) {
  using Higher = MessageRule::Higher;
  if (rule.higher == Higher::follow) {
    // There is one leader a term: a message that says otherwise is not what it claims.
    if (term < state_.term() || leader_of(term) != nullptr) return false;
    election_.follow(source, term);
    return true;
  }
  if (term <= state_.term() || rule.higher == Higher::judge) return true;
  if (rule.higher == Higher::step_down) election_.become_follower(term, std::nullopt);
  return false;
}

// ---- Heartbeats -----------------------------------------------------------------------------------

Group::HeartbeatAnswer Group::heartbeat(const Uuid& source, const HeartbeatGroup& heartbeat) {
  const RaftHeader header{state_.partition(), heartbeat.term, heartbeat.source_added, heartbeat.destination_added};
  const MessageRule rule = rule_of(heartbeat);
  if (!is_addressed(source, header, rule.identity))
    return {false, 0, state_.has_lost_log() && heartbeat.destination_added == state_.id().added};
  if (!take_term(source, header.term, rule)) return {false, state_.term(), false};
  commitments_.former_leases.heard(heartbeat.term, heartbeat.leases, services_.now());
  follower_.heartbeat(heartbeat.commit);
  check();
  return {true, state_.term(), state_.damage() != Damage::none};
}

Leader* Group::leader_of(Term term) { return term == state_.term() ? election_.leader() : nullptr; }

void Group::heartbeat_acknowledged(const Uuid& source, const HeartbeatGroup& sent, std::uint64_t round,
                                   TimePoint sent_at, bool damaged) {
  if (Leader* leader = leader_of(sent.term))
    leader->heartbeat_acknowledged(sent, {source, sent.destination_added}, round, sent_at, damaged);
  check();
}

void Group::heartbeat_refused(const Uuid& source, const HeartbeatGroup& sent, const HeartbeatReply::Refusal& refusal) {
  Leader* leader = leader_of(sent.term);
  if (leader == nullptr || !leader->heartbeat_refused({source, sent.destination_added}, refusal.damaged)) return;
  if (refusal.term > state_.term()) election_.become_follower(refusal.term, std::nullopt);
  check();
}

}  // namespace ringfs::dht

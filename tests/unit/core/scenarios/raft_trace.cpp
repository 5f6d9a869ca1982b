// Raft messages and states in the words of a scenario.
#include "tests/unit/core/scenarios/raft_trace.hpp"

#include "tests/unit/core/scenarios/scenario.hpp"

namespace ringfs::dht::test {

namespace {

constexpr std::size_t most_entries_listed = 4;

std::string at(LogIndex index, Term term) { return std::to_string(index) + "/t" + std::to_string(term); }
// The upper half is the number of the process's start.
std::string round_text(std::uint64_t round) { return "round " + std::to_string(round & UINT32_MAX); }
std::string term_text(const RaftHeader& raft) { return "term " + std::to_string(raft.term); }

// Events that say more than the states before and after.
const std::map<std::string, std::string> told_events = {
    {"quorum_lost", "hears no majority"},
    {"transfer", "begins to hand over"},
    {"transfer_failed", "failed to hand over"},
    {"read_index_fallback", "has no lease: the read waits for a round of heartbeats"},
    {"log_truncated", "truncates its log"},
    {"log_compacted", "compacts its log"},
    {"snapshot_installed", "installs a snapshot"},
    {"removed_from_ring", "learns that it is no member of the ring any more"},
};

// key=value pairs of an event without those that every line has.
std::string detail_of(const Event& event) {
  std::string kept;
  for (const char* key : {" from=", " index=", " through="}) {
    const std::size_t start = event.detail.find(key);
    if (start == std::string::npos) continue;
    kept += event.detail.substr(start, event.detail.find(' ', start + 1) - start);
  }
  std::replace(kept.begin(), kept.end(), '=', ' ');
  return kept;
}

std::string content_of(const Entry& entry) {
  Result<Batch> batch = decode_batch(entry.head, entry.blobs);
  if (!batch) return "?";
  std::vector<std::string> parts;
  for (const Mutation& mutation : batch->mutations) {
    if (mutation.row.key == members_key) return "members table";
    parts.push_back(mutation.row.key.substr(0, mutation.row.key.find('\'')) + "=" + mutation.value.str());
  }
  return joined(parts, ",");
}

}  // namespace

const char* role_name(Role role) {
  switch (role) {
    case Role::follower: return "follower";
    case Role::pre_candidate: return "pre-candidate";
    case Role::candidate: return "candidate";
    case Role::leader: return "leader";
    case Role::learner: return "learner";
  }
  return "nothing";
}

std::optional<unsigned> RaftTrace::machine_of(const std::string& name) const {
  for (unsigned machine : machines_) {
    if (name_of(machine) == name) return machine;
  }
  return std::nullopt;
}

std::string RaftTrace::name_of(unsigned machine) const {
  const auto place = std::find(machines_.begin(), machines_.end(), machine);
  return "S" + std::to_string(place - machines_.begin() + 1);
}

std::string RaftTrace::names_of(const std::vector<ReplicaId>& replicas) const {
  std::vector<std::string> names;
  for (const ReplicaId& replica : replicas) {
    names.push_back(name_of(replica.node) + (replica.added == 0 ? "" : "@" + std::to_string(replica.added)));
  }
  std::sort(names.begin(), names.end());
  return joined(names);
}

std::string RaftTrace::text_of(const Configuration& configuration) const {
  std::string text = "voters " + names_of(configuration.voters);
  if (!configuration.old_voters.empty()) text = "joint: old " + names_of(configuration.old_voters) + ", new " + text;
  if (!configuration.learners.empty()) text += ", learners " + names_of(configuration.learners);
  return text;
}

std::string RaftTrace::text_of(const Entry& entry) const {
  const std::string where = at(entry.index, entry.term);
  switch (entry.kind) {
    case EntryKind::no_op: return where + " no-op";
    case EntryKind::batch: return where + " " + content_of(entry);
    case EntryKind::configuration: break;
  }
  Result<Configuration> configuration = decode_configuration(entry.head.view());
  return where + " (" + (configuration ? text_of(*configuration) : "?") + ")";
}

// ---- Messages --------------------------------------------------------------------------------------

std::string RaftTrace::kind_of(const Message& message, PartitionId partition) {
  const bool of_others = std::visit(
      [&](const auto& one) {
        if constexpr (requires { one.raft; }) return one.raft.partition != partition;
        return false;
      },
      message);
  if (of_others) return "";
  if (const auto* vote = std::get_if<RequestVote>(&message)) return vote->pre_vote ? "PreVote" : "RequestVote";
  if (const auto* reply = std::get_if<VoteReply>(&message)) return reply->pre_vote ? "PreVoteReply" : "VoteReply";
  if (std::holds_alternative<Append>(message)) return "Append";
  if (std::holds_alternative<AppendReply>(message)) return "AppendReply";
  if (std::holds_alternative<TimeoutNow>(message)) return "TimeoutNow";
  if (std::holds_alternative<SnapshotChunk>(message)) return "SnapshotChunk";
  if (std::holds_alternative<SnapshotReply>(message)) return "SnapshotReply";
  if (std::holds_alternative<ReplicaQuery>(message)) return "ReplicaQuery";
  if (std::holds_alternative<ReplicaRemoved>(message)) return "ReplicaRemoved";
  if (std::holds_alternative<Heartbeat>(message)) return "Heartbeat";
  if (std::holds_alternative<HeartbeatReply>(message)) return "HeartbeatReply";
  return "";
}

bool RaftTrace::is_kind(const std::string& name) {
  static const std::set<std::string> kinds = {
      "PreVote",       "RequestVote",   "PreVoteReply", "VoteReply",      "Append",    "AppendReply",   "TimeoutNow",
      "SnapshotChunk", "SnapshotReply", "ReplicaQuery", "ReplicaRemoved", "Heartbeat", "HeartbeatReply"};
  return kinds.contains(name);
}

std::string RaftTrace::describe(const RequestVote& message) const {
  return term_text(message.raft) + ", last " + at(message.last_index, message.last_term) +
         (message.transfer ? ", the leader asked for it" : "");
}

std::string RaftTrace::describe(const VoteReply& message) const {
  return std::string(message.granted ? "granted" : "refused") + ", " + term_text(message.raft);
}

std::string RaftTrace::describe(const Append& message) const {
  std::string text = term_text(message.raft) + ", behind " + at(message.previous_index, message.previous_term) +
                     ", commit " + std::to_string(message.commit);
  if (message.entries.empty()) return text + ", nothing";
  if (message.entries.size() > most_entries_listed) {
    return text + ": " + at(message.entries.front().index, message.entries.front().term) + " to " +
           at(message.entries.back().index, message.entries.back().term);
  }
  std::vector<std::string> entries;
  for (const Entry& entry : message.entries) entries.push_back(text_of(entry));
  return text + ": " + joined(entries, ", ");
}

std::string RaftTrace::describe(const AppendReply& message) const {
  if (message.success) return term_text(message.raft) + ", match " + std::to_string(message.match);
  if (message.absent) return term_text(message.raft) + ", has no rows";
  if (message.no_space) return term_text(message.raft) + ", no space";
  if (message.hint_index == 0) return term_text(message.raft) + ", refused";
  return term_text(message.raft) + ", refused " + std::to_string(message.rejected) + ", try " +
         at(message.hint_index, message.hint_term);
}

std::string RaftTrace::describe(const TimeoutNow& message) const { return term_text(message.raft); }

std::string RaftTrace::describe(const SnapshotChunk& message) const {
  return term_text(message.raft) + ", through " + at(message.last_index, message.last_term) + ", chunk " +
         std::to_string(message.number) + (message.last ? ", the last" : "");
}

std::string RaftTrace::describe(const SnapshotReply& message) const {
  if (message.installed) return term_text(message.raft) + ", installed";
  if (message.refused) return term_text(message.raft) + ", refused";
  return term_text(message.raft) + ", next " + std::to_string(message.next);
}

std::string RaftTrace::describe(const ReplicaQuery& message) const { return term_text(message.raft); }

std::string RaftTrace::describe(const ReplicaRemoved& message) const {
  Result<Configuration> configuration = decode_configuration(message.configuration);
  return "through " + std::to_string(message.configuration_index) + ", " +
         (configuration ? text_of(*configuration) : "?");
}

std::string RaftTrace::describe(const Heartbeat& message) const {
  for (const HeartbeatGroup& group : message.groups) {
    if (group.partition != partition_) continue;
    return round_text(message.round) + ", term " + std::to_string(group.term) + ", commit " +
           std::to_string(group.commit);
  }
  return round_text(message.round);
}

std::string RaftTrace::describe(const HeartbeatReply& message) const {
  for (const HeartbeatReply::Refusal& refusal : message.refused) {
    if (refusal.partition != partition_) continue;
    return round_text(message.round) + ", refused, term " + std::to_string(refusal.term);
  }
  return round_text(message.round);
}

void RaftTrace::message(const Envelope& envelope, bool arrives) {
  const std::string kind = kind_of(envelope.message, partition_);
  if (kind.empty() || hidden.contains(kind)) return;
  const unsigned to = number_of(envelope.header.destination);
  if (kind == "Heartbeat" && heartbeats_of != number_of(envelope.header.source)) return;
  if (kind == "HeartbeatReply" && heartbeats_of != to) return;
  const bool there = to < cluster_.machines.size() && cluster_.machines[to].node;
  line(name_of(envelope.header.source) + " -> " + name_of(to) + "  " + kind + " " +
       std::visit([this](const auto& one) { return describe(one); }, envelope.message) +
       (!arrives ? "  (lost)"
        : !there ? "  (down)"
                 : ""));
}

// ---- States ----------------------------------------------------------------------------------------

void RaftTrace::event(unsigned machine, const Event& event) {
  if (event.name.starts_with("member_")) {
    for (unsigned member : machines_) {
      if (event.detail == "node=" + node_id(member).text())
        line(name_of(machine) + " notes in the members table: " + name_of(member) + " " + event.name.substr(7));
    }
    return;
  }
  auto told = told_events.find(event.name);
  if (told != told_events.end()) line(name_of(machine) + " " + told->second + detail_of(event));
}

RaftTrace::Seen RaftTrace::seen_of(unsigned machine) {
  Seen now;
  auto stored = cluster_.machines[machine].store.groups.find(partition_);
  if (stored != cluster_.machines[machine].store.groups.end()) {
    now.vote = stored->second.hard_state.vote;
    now.vote_term = stored->second.hard_state.term;
    now.holds_data = stored->second.holds_data;
    now.added = stored->second.replica.added;
    now.configuration = text_of(stored->second.configuration);
  }
  const GroupStatus status = cluster_.group(machine, partition_);
  now.replica = status.role != Role{};
  now.role = status.role;
  now.term = status.term;
  now.leader = status.leader;
  now.commit = status.commit;
  now.lease = status.lease;
  return now;
}

void RaftTrace::role_changed(const std::string& name, const Seen& before, const Seen& now) {
  if (!now.replica) {
    if (before.replica) line(name + " is no replica any more");
    return;
  }
  const bool follows = now.role == Role::follower || now.role == Role::learner;
  const bool changed = now.role != before.role || now.term != before.term || (follows && now.leader != before.leader);
  if (!changed) return;
  std::string text = name + " is " + role_name(now.role) + " of term " + std::to_string(now.term);
  if (follows && now.leader) text += ", follows " + name_of(*now.leader);
  line(text);
}

void RaftTrace::look(unsigned machine) {
  const std::string name = name_of(machine);
  Seen& before = seen_[machine];
  if (!cluster_.machines[machine].node) {  // what is on its disk stays
    before.role = Role{};
    before.replica = false;
    before.leader.reset();
    before.lease = false;
    before.commit = 0;
    return;
  }
  const Seen now = seen_of(machine);
  const bool started = !before.replica;
  if (now.added != before.added && now.replica) line(name + " is a new replica, added by " + std::to_string(now.added));
  role_changed(name, before, now);
  const bool voted = now.vote != before.vote || now.vote_term != before.vote_term;
  if (voted && !now.vote.is_nil()) line(name + " voted for " + name_of(now.vote) + ", durably");
  if (now.commit > before.commit && !started) line(name + " commits " + std::to_string(now.commit));
  if (now.configuration != before.configuration && now.holds_data) line(name + " applies " + now.configuration);
  if (before.holds_data && !now.holds_data) line(name + " drops its rows");
  if (now.lease != before.lease) line(name + (now.lease ? " has a lease" : " has no lease any more"));
  before = now;
}

}  // namespace ringfs::dht::test

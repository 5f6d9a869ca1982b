// Who this replica is: how it comes into being as a learner, and how it learns that it is a member no longer
// (docs/design.md#replica-identity).
//
// A replica is (node, index of the configuration entry that added it). A leader that names this node by another index
// tells that the present life is over: it adds a node anew only when the configuration that excludes it is committed.
// Data goes only on that knowledge, or on a committed configuration itself: the own applied one, or one that another
// replica shows.
#include <algorithm>

#include "dht/core/raft/group.hpp"

namespace ringfs::dht {

// What is known to be committed here: the configuration in force, and through which index it is. (A stub keeps both.)
Group::ConfigurationAt Group::committed_configuration() const {
  const ConfigurationAt& newest = configurations_.front();
  return {std::max(newest.index, applied_), newest.configuration};
}

// The configuration, in force at a committed index, says that this replica never counts again. Below the entry that
// added it it says nothing.
bool Group::excludes(const ConfigurationAt& committed) const {
  return !committed.configuration.voters.empty() && committed.index >= replica_.added &&
         !names(committed.configuration, replica_);
}

// What a removed replica leaves: term, vote, identity, and where to ask.
bool Group::removed() const { return !holds_data_ && excludes(configurations_.front()); }

// A leader's message is for this replica as it is, or as it becomes by that. What a removed one gets is late: it must
// not rise again.
bool Group::accept_from_leader(const Uuid& source, const RaftHeader& header) {
  if (accept(source, header) && !removed()) return true;
  if (take_identity(header)) return true;
  if (header.destination_added <= replica_.added || header.term >= term_) return false;
  // A later life, perhaps, but of a leader whose term is over here: as for any follower, it must get a higher one.
  AppendReply reply;
  reply.raft = {partition_, term_, header.destination_added, header.source_added};
  services_.out.send_after_write(source, reply);
  return false;
}

// A leader addresses another life of this replica than the present one. True: it is that one from now on, without data.
// A higher index is a later life. A lower one under a higher term means that the entry which added the present life was
// never committed, so it never was a voter. Everything else is a late message.
bool Group::take_identity(const RaftHeader& header) {
  const LogIndex added = header.destination_added;
  const ConfigurationAt committed = committed_configuration();
  if (committed.index >= added && !committed.configuration.voters.empty() &&
      !names(committed.configuration, {services_.self, added})) {
    return false;  // that life is over, too
  }
  bool later = added > replica_.added && header.term >= term_;
  bool instead = added < replica_.added && header.term > term_;
  if (added == 0 || (!later && !instead)) return false;
  if (applying_through_ > applied_) return false;  // the leader says so again
  event("replica_added", "added=" + std::to_string(added));
  reset_replica(added, committed);
  query_at_ = now() + query_timeout();
  return true;
}

// All data goes; term and vote stay.
void Group::reset_replica(LogIndex added, ConfigurationAt where_to_ask) {
  RINGFS_CHECK(applying_through_ == applied_);
  leave_to_others();
  damage_ends(true);
  services_.out.separate_group_write(partition_).reset =
      ReplicaReset{added, where_to_ask.configuration, where_to_ask.index};
  services_.out.end_group_write(partition_);
  replica_.added = added;
  holds_data_ = false;
  log_ = Log();
  log_clock_ = LogClock();
  stable_ = commit_ = applied_ = applying_through_ = 0;
  drop_unapplied(unapplied_bytes_);
  note_log_size();
  ++services_.heartbeat_changes;
  pending_writes_.clear();
  members_touches_.clear();
  members_touched_ = false;
  members_install_ = 0;
  retire_.reset();
  configurations_.clear();
  configurations_.push_back(std::move(where_to_ask));
}

// Leads, votes and answers no more; the others do.
void Group::leave_to_others() {
  if (role_ == Role::leader) stop_leading(std::nullopt);
  for (const auto& [index, pending] : operations_) {
    fail_operation(pending.operation, ErrorCode::unavailable, "this replica is gone, the others know the outcome");
  }
  operations_.clear();
  drop_incoming();
  role_ = Role::learner;
  leader_.reset();
  votes_.clear();
}

// Carries out what applied() or ReplicaRemoved found, when nothing of the old data is under way any more.
void Group::maybe_retire() {
  if (!retire_ || applying_through_ > applied_) return;
  ConfigurationAt committed = std::move(*retire_);
  retire_.reset();
  if (!excludes(committed) && !services_.faults.drop_early) return;
  reset_replica(replica_.added, std::move(committed));
  event("replica_removed", "added=" + std::to_string(replica_.added));
}

Duration Group::query_timeout() const {
  auto half = static_cast<std::uint64_t>(replica_query_timeout.count() / 2);
  return replica_query_timeout + Duration(services_.random.below(half));
}

// Nobody leads this replica: either there is no leader, or it is not a member any more and nobody tells it.
void Group::ask_membership() {
  query_at_ = now() + query_timeout();
  services_.receiving.erase(partition_);  // whoever sent a snapshot is silent; others may
  std::set<Uuid> others;
  const Configuration& known = configuration();
  for (const auto* list : {&known.voters, &known.old_voters, &known.learners}) {
    for (const ReplicaId& replica : *list) others.insert(replica.node);
  }
  const std::vector<Uuid>& placed = services_.placement.preference_list(partition_);
  others.insert(placed.begin(), placed.end());
  others.erase(services_.self);
  for (const Uuid& other : others) services_.out.send(other, ReplicaQuery{{partition_, 0, replica_.added, 0}});
}

void Group::receive(const Uuid& source, const ReplicaQuery& message) {
  const ConfigurationAt committed = committed_configuration();
  if (committed.configuration.voters.empty() || committed.index < message.raft.source_added) return;
  if (names(committed.configuration, {source, message.raft.source_added})) return;
  services_.out.send(source, removed_message({source, message.raft.source_added}, committed));
}

// A fact of the committed log; it names no term.
ReplicaRemoved Group::removed_message(const ReplicaId& replica, const ConfigurationAt& committed) const {
  return {{partition_, 0, replica_.added, replica.added}, encode(committed.configuration), committed.index};
}

void Group::receive(const Uuid& source, const ReplicaRemoved& message) {
  if (message.raft.destination_added != replica_.added || removed()) return;
  Result<Configuration> configuration = decode_configuration(message.configuration);
  if (!configuration) {
    event("malformed_configuration", "source=" + source.text());
    return;
  }
  ConfigurationAt committed{message.configuration_index, std::move(*configuration)};
  if (!excludes(committed)) return;
  retire_ = std::move(committed);
  mark();
}

// A hint that saves those who were removed the time until they ask.
void Group::tell_removed(const Configuration& before, const ConfigurationAt& committed) {
  std::set<ReplicaId> gone;
  for (const auto* list : {&before.voters, &before.old_voters, &before.learners})
    gone.insert(list->begin(), list->end());
  for (const ReplicaId& replica : gone) {
    if (replica == replica_ || names(committed.configuration, replica)) continue;
    services_.out.send(replica.node, removed_message(replica, committed));
  }
}

}  // namespace ringfs::dht

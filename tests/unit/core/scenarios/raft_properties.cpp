// The properties, checked after every step of a scenario.
#include "tests/unit/core/scenarios/raft_properties.hpp"

namespace ringfs::dht::test {

void RaftProperties::breaks(const std::string& what) {
  if (broken_.empty()) broken_ = what;
}

void RaftProperties::check(unsigned node) {
  if (!cluster_.machines[node].node) return;
  auto stored = cluster_.machines[node].store.groups.find(partition_);
  if (stored == cluster_.machines[node].store.groups.end()) return;
  const GroupStatus status = cluster_.group(node, partition_);
  check_terms(node, status);
  check_log_matching(stored->second);
  check_committed(status, stored->second);
  check_rows(node, stored->second);
  check_data(node, stored->second);
  check_leader_completeness(status, stored->second);
  check_leases(node, status);
}

// Election safety: a leader a term. One vote a term, and terms never go back, across restarts, too.
void RaftProperties::check_terms(unsigned node, const GroupStatus& status) {
  const HardState& durable = cluster_.machines[node].store.groups.at(partition_).hard_state;
  Term& newest = terms_[node];
  if (durable.term < newest) breaks("terms never go back");
  newest = std::max(newest, durable.term);
  if (!durable.vote.is_nil() &&
      votes_.emplace(std::pair(node, durable.term), durable.vote).first->second != durable.vote)
    breaks("one vote a term");
  if (status.role == Role::leader && leaders_.emplace(status.term, node).first->second != node)
    breaks("election safety: two leaders of term " + std::to_string(status.term));
}

// Log matching: index and term name one entry, and the one before it is the same, too.
void RaftProperties::check_log_matching(const StoredGroup& stored) {
  for (const auto& [index, entry] : stored.log) {
    const std::pair seen(content_of(entry), stored.term_of(index - 1));
    if (entries_.emplace(std::pair(index, entry.term), seen).first->second != seen)
      breaks("log matching: at index " + std::to_string(index));
  }
}

// State machine safety: what is committed at an index is the same for everybody.
void RaftProperties::check_committed(const GroupStatus& status, const StoredGroup& stored) {
  for (const auto& [index, entry] : stored.log) {
    if (index > status.commit) return;
    committed_in_.emplace(index, status.term);
    if (committed_.emplace(index, content_of(entry)).first->second != content_of(entry))
      breaks("state machine safety: at index " + std::to_string(index));
  }
}

// Likewise, in the rows: who has applied as much has the same.
void RaftProperties::check_rows(unsigned node, const StoredGroup& stored) {
  if (!stored.holds_data) return;
  for (unsigned other = 0; other < cluster_.machines.size(); ++other) {
    auto theirs = cluster_.machines[other].store.groups.find(partition_);
    if (other == node || theirs == cluster_.machines[other].store.groups.end()) continue;
    if (theirs->second.holds_data && theirs->second.applied == stored.applied && !(theirs->second.rows == stored.rows))
      breaks("state machine safety: rows at index " + std::to_string(stored.applied));
  }
}

// A replica's rows go only after the commit of a configuration without it.
void RaftProperties::check_data(unsigned node, const StoredGroup& stored) {
  auto before = with_data_.find(node);
  const bool gone = before != with_data_.end() && (!stored.holds_data || stored.replica.added != before->second);
  if (gone) {
    const ReplicaId replica{node_id(node), before->second};
    with_data_.erase(before);
    auto newest = std::find_if(committed_.rbegin(), committed_.rend(),
                               [](const auto& entry) { return entry.second.kind == EntryKind::configuration; });
    Result<Configuration> configuration = fail(ErrorCode::not_found);
    if (newest != committed_.rend()) configuration = decode_configuration(newest->second.head);
    bool named = !configuration;
    if (configuration) {
      for (const auto* list : {&configuration->voters, &configuration->old_voters, &configuration->learners})
        named = named || std::find(list->begin(), list->end(), replica) != list->end();
    }
    if (named) breaks("data goes after the commit of a configuration without it");
  }
  if (stored.holds_data) with_data_.emplace(node, stored.replica.added);
}

// Leader completeness: what was committed in earlier terms is in a leader's log.
void RaftProperties::check_leader_completeness(const GroupStatus& status, const StoredGroup& stored) {
  if (status.role != Role::leader) return;
  for (const auto& [index, entry] : committed_) {
    if (index <= stored.base_index || committed_in_.at(index) >= status.term) continue;
    auto own = stored.log.find(index);  // not there: perhaps only in memory yet
    if (index > status.last_index || (own != stored.log.end() && content_of(own->second) != entry))
      breaks("leader completeness: index " + std::to_string(index) + " in term " + std::to_string(status.term));
  }
}

// While a leader has a lease nobody leads a later term.
void RaftProperties::check_leases(unsigned node, const GroupStatus& status) {
  if (status.role != Role::leader) return;
  for (unsigned other = 0; other < cluster_.machines.size(); ++other) {
    if (other == node || !cluster_.machines[other].node) continue;
    const GroupStatus theirs = cluster_.group(other, partition_);
    if (theirs.role == Role::leader && theirs.term < status.term && theirs.lease)
      breaks("leases: a leader of term " + std::to_string(status.term) + " beside a lease of term " +
             std::to_string(theirs.term));
  }
}

void RaftProperties::check_read(std::uint64_t version, std::uint64_t acknowledged) {
  if (version < acknowledged) breaks("linearizability: a read is older than what was acknowledged before it");
}

}  // namespace ringfs::dht::test

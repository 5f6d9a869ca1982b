// What a replica is: its identity, its term and vote, its damage (docs/design.md#replica-identity).
#include "dht/core/raft/replica/replica_state.hpp"

#include <algorithm>
#include <utility>

#include "dht/core/raft/quorum.hpp"

namespace ringfs::dht {

ReplicaState::ReplicaState(const PersistedGroup& persisted, bool holds_members_table, GroupServices& services)
    : services_(services),
      id_(persisted.replica),
      holds_data_(persisted.holds_data),
      term_(persisted.hard_state.term),
      vote_(persisted.hard_state.vote),
      log_(persisted, holds_members_table, services),
      damage_(persisted.damage) {}

// The configuration, in force at a committed index, says that this replica never counts again. Below the entry that
// added it it says nothing.
bool ReplicaState::excludes(const ConfigurationAt& committed) const {
  return !committed.configuration.voters.empty() && committed.index >= id_.added &&
         !names(committed.configuration, id_);
}

// A voter of the newest configuration, or of one before it that the newest may still give way to: a leader that removes
// itself may be the only one whose log holds the last configuration, and then nobody else can be elected (dissertation,
// figure 4.6).
bool ReplicaState::promotable() const {
  const std::vector<ConfigurationAt>& known = log_.configurations();
  return serves() && std::any_of(known.begin(), known.end(),
                                 [this](const ConfigurationAt& one) { return is_voter(one.configuration, id_); });
}

unsigned ReplicaState::preference_rank(const Uuid& node) const {
  const std::vector<Uuid>& list = services_.placement.preference_list(partition());
  return static_cast<unsigned>(std::find(list.begin(), list.end(), node) - list.begin());
}

// A source that we do not know may be a member of a configuration that has not arrived here yet.
bool ReplicaState::accepts(const Uuid& source, const RaftHeader& header) const {
  if (header.destination_added != id_.added || has_lost_log()) return false;
  if (services_.faults.ignore_replica_identity) return true;
  const Configuration& known = configuration();
  for (const auto* half : {&known.voters, &known.old_voters, &known.learners}) {
    for (const ReplicaId& replica : *half) {
      if (replica.node == source && replica.added > header.source_added) return false;
    }
  }
  return true;
}

void ReplicaState::persist_hard_state() {
  services_.out.group_write(partition()).hard_state = HardState{term_, vote_};
  hard_state_write_ = services_.out.write_id();
}

void ReplicaState::enter_term(Term term) {
  RINGFS_CHECK(term > term_);
  term_ = term;
  vote_ = Uuid{};
  persist_hard_state();
}

void ReplicaState::vote_for(const Uuid& candidate) {
  RINGFS_CHECK(vote_.is_nil());  // one vote a term
  vote_ = candidate;
  persist_hard_state();
}

void ReplicaState::stand() {
  ++term_;
  vote_ = services_.self;
  persist_hard_state();
}

bool ReplicaState::hard_state_written(EffectId write) {
  if (hard_state_write_ == 0 || hard_state_write_ > write) return false;
  hard_state_write_ = 0;
  return true;
}

void ReplicaState::append_own(EntryKind kind, SharedBytes head, std::vector<SharedBytes> blobs, bool touches_members) {
  Entry entry;
  entry.index = log_.last_index() + 1;
  entry.term = term_;
  entry.stamp = log_.next_stamp();
  entry.kind = kind;
  entry.head = std::move(head);
  entry.blobs = std::move(blobs);
  RINGFS_CHECK(log_.append(std::move(entry), touches_members));
  services_.active_at = services_.now();
  mark();
}

void ReplicaState::note_damage(Damage damage) {
  RINGFS_CHECK(damage > damage_);
  damage_ = damage;
  services_.out.group_write(partition()).damage = damage;
}

// By a reset, which leaves nothing, or by an install, which brings other rows and another log.
void ReplicaState::damage_ends(bool by_reset) {
  apply_blocked_ = false;
  // The process may be another one when the repair is done, and not know of it any more.
  if (by_reset && damage_ != Damage::none) event("damaged_replica_reset", "added=" + std::to_string(id_.added));
  repairing_ = repairing_ || damage_ != Damage::none;
  damage_ = Damage::none;
  if (by_reset || !repairing_) return;
  repairing_ = false;
  event("replica_repaired", "added=" + std::to_string(id_.added));
}

void ReplicaState::install(const InstallSnapshot& snapshot) {
  RINGFS_CHECK(snapshot.last_index > log_.commit() || !holds_data_);  // what is committed never goes back
  services_.out.separate_group_write(partition()).install = snapshot;
  services_.out.end_group_write(partition());
  holds_data_ = true;
  damage_ends(false);
  log_.install(snapshot);
}

void ReplicaState::reset(LogIndex added, ConfigurationAt where_to_ask) {
  damage_ends(true);
  services_.out.separate_group_write(partition()).reset =
      ReplicaReset{added, where_to_ask.configuration, where_to_ask.index};
  services_.out.end_group_write(partition());
  id_.added = added;
  holds_data_ = false;
  log_.reset(std::move(where_to_ask));
  ++services_.heartbeat_changes;
}

Redirect ReplicaState::redirect() const {
  Redirect redirect;
  redirect.leader = leader_;
  for (const ReplicaId& voter : all_voters(configuration())) redirect.members.push_back(voter.node);
  return redirect;
}

void ReplicaState::fail(OperationId operation, ErrorCode code, std::string context) {
  services_.out.reply(operation, tl::unexpected(OperationFailure{{code, std::move(context)}, redirect()}));
}

void ReplicaState::event(const char* name, const std::string& detail) const {
  std::string text = "partition=" + std::to_string(index_of(partition())) + " term=" + std::to_string(term_);
  if (!detail.empty()) text += " " + detail;
  services_.out.event(name, std::move(text));
}

}  // namespace ringfs::dht

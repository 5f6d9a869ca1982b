// What this node's replica of a partition is, and what of it is durable or on its way to disk: identity, term, vote,
// log (replicated_log.hpp), damage. The parts of a Group share it; each of them changes it by the operations below,
// which put what must be durable into the write that is being collected.
//
// A replica is in one of these states:
//
//   state        holds_data  damage  in its configuration  what it does
//   voter        yes         none    voter                 votes, takes in entries, may lead
//   learner      yes         none    learner               takes in entries
//   bad rows     yes         rows    voter or learner      as above; a leader hands over
//   lost log     yes         log     any                   nothing until it is another replica: serves() is false
//   empty        no          none    learner, or unknown   waits for its first snapshot
//   stub         no          none    excluded              keeps term, vote, identity and whom to ask: removed()
//
// Threads: none. Errors: a term that goes back and a second vote in one term abort.
#pragma once

#include <optional>
#include <string>

#include "dht/core/raft/replica/replicated_log.hpp"

namespace ringfs::dht {

class ReplicaState {
 public:
  ReplicaState(const PersistedGroup& persisted, bool holds_members_table, GroupServices& services);

  PartitionId partition() const { return log_.partition(); }
  bool holds_members_table() const { return log_.holds_members_table(); }
  const ReplicaId& id() const { return id_; }
  bool holds_data() const { return holds_data_; }
  Term term() const { return term_; }
  const Uuid& vote() const { return vote_; }  // nil: none in this term
  // Who leads the term, as far as is known here.
  const std::optional<Uuid>& leader() const { return leader_; }
  ReplicatedLog& log() { return log_; }
  const ReplicatedLog& log() const { return log_; }
  const Configuration& configuration() const { return log_.configuration(); }

  bool has_lost_log() const { return damage_ == Damage::log; }
  Damage damage() const { return damage_; }
  bool apply_blocked() const { return apply_blocked_; }  // the next entry cannot be applied here
  // False: it waits for its first snapshot, is what a removed replica leaves, or has lost its log.
  bool serves() const { return holds_data_ && !has_lost_log(); }
  // What a removed replica leaves: term, vote, identity, and where to ask.
  bool removed() const { return !holds_data_ && excludes(log_.configurations().front()); }
  bool excludes(const ConfigurationAt& committed) const;
  bool promotable() const;
  // The place of a node in the partition's preference list; 0 is the preferred primary.
  unsigned preference_rank(const Uuid& node) const;
  // The message is for this very replica, and its source is not an earlier life of a replica that we know.
  bool accepts(const Uuid& source, const RaftHeader& header) const;

  void enter_term(Term term);
  void vote_for(const Uuid& candidate);                               // in the present term
  void stand();                                                       // enters the next term and votes for itself
  bool hard_state_pending() const { return hard_state_write_ != 0; }  // term and vote are not durable yet
  bool hard_state_written(EffectId write);                            // true: they have just become so
  void set_leader(std::optional<Uuid> leader) { leader_ = leader; }

  // As a leader: an entry of the own term.
  void append_own(EntryKind kind, SharedBytes head, std::vector<SharedBytes> blobs, bool touches_members);
  void note_damage(Damage damage);
  void block_applies() { apply_blocked_ = true; }
  void install(const InstallSnapshot& snapshot);             // rows and log are replaced
  void reset(LogIndex added, ConfigurationAt where_to_ask);  // becomes another replica without data; term and vote stay

  RaftHeader header(const ReplicaId& to) const { return {partition(), term_, id_.added, to.added}; }
  RaftHeader answer_header(const RaftHeader& asked) const {
    return {partition(), term_, id_.added, asked.source_added};
  }
  Redirect redirect() const;
  void fail(OperationId operation, ErrorCode code, std::string context = {});
  void event(const char* name, const std::string& detail = {}) const;
  void mark() { services_.mark(partition()); }

 private:
  void persist_hard_state();
  void damage_ends(bool by_reset);

  GroupServices& services_;
  ReplicaId id_;
  bool holds_data_ = true;
  Term term_ = 0;
  Uuid vote_;
  EffectId hard_state_write_ = 0;  // of the newest term and vote; 0: they are durable
  std::optional<Uuid> leader_;
  ReplicatedLog log_;

  Damage damage_ = Damage::none;
  bool apply_blocked_ = false;
  bool repairing_ = false;  // what was damaged is gone; waits for fresh rows
};

}  // namespace ringfs::dht

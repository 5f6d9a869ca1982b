// Terms, votes, time-outs and the transfer of leadership (dissertation, chapters 3.4, 3.10, 6.4.1, 9.6).
#include <algorithm>

#include "dht/core/raft/group.hpp"

namespace ringfs::dht {

// A voter of the newest configuration, or of one before it that the newest may still give way to: a leader that removes
// itself may be the only one whose log holds the last configuration, and then nobody else can be elected (dissertation,
// figure 4.6).
bool Group::promotable() const {
  return serves() && std::any_of(configurations_.begin(), configurations_.end(),
                                 [this](const ConfigurationAt& one) { return is_voter(one.configuration, replica_); });
}

unsigned Group::preference_rank(const Uuid& node) const {
  const std::vector<Uuid>& list = services_.placement.preference_list(partition_);
  return static_cast<unsigned>(std::find(list.begin(), list.end(), node) - list.begin());
}

// Whoever acknowledged a leader granted it a lease of L, without another leader; this process's last life may have done
// so just before it ended. A leader grants itself the same. Only a RequestVote that the leader asked for (TimeoutNow)
// may pass: that leader takes no lease any more in the term that is being left.
bool Group::must_refuse_votes() const {
  if (services_.faults.ignore_lease) return false;
  if (now() < refuse_votes_until_) return true;
  if (role_ == Role::leader) return !lease_void_ && quorum_acknowledged_at() + services_.timing.lease > now();
  return last_heard_ + services_.timing.lease > now();
}

void Group::persist_hard_state() {
  services_.out.group_write(partition_).hard_state = HardState{term_, vote_};
  hard_state_write_ = services_.out.write_id();
}

// What waited for it is said only now: the own vote counts, and those who are asked, or who asked, get the time to
// answer.
void Group::hard_state_written() {
  hard_state_write_ = 0;
  if (role_ == Role::leader) return;
  election_deadline_ = std::max(election_deadline_, now() + retry_wait());
  if (role_ != Role::candidate) return;
  votes_[replica_] = true;
  tally();
}

// Behind those that are well; whoever is elected all the same hands over.
Duration Group::unfit_delay() const {
  if (!should_not_lead()) return Duration::zero();
  const std::vector<ReplicaId> voters = all_voters(configuration());
  const bool any_fit = std::any_of(voters.begin(), voters.end(), [this](const ReplicaId& voter) {
    return voter != replica_ && services_.fitness.fit(voter.node, now());
  });
  return any_fit ? services_.timing.election_maximum : Duration::zero();
}

void Group::reset_election_deadline() {
  const Timing& timing = services_.timing;
  auto spread = static_cast<std::uint64_t>(
      std::max<std::int64_t>((timing.election_maximum - timing.election_minimum).count(), 1));
  election_timeout_ = timing.election_minimum + Duration(services_.random.below(spread));
  election_deadline_ = now() + election_timeout_ + unfit_delay();
}

// When a campaign that decided nothing is tried again: sooner than a follower's time-out, for nobody leads meanwhile,
// but ever slower, so that slow disks and networks get their time.
Duration Group::retry_wait() const {
  Duration wait = services_.timing.election_minimum / 4;
  for (unsigned i = 0; i < std::min(failed_campaigns_, 3U); ++i) wait = wait * 2;
  return std::min(wait, services_.timing.election_minimum);
}

void Group::set_retry_deadline() {
  const Duration wait = retry_wait();
  election_deadline_ = now() + wait + Duration(services_.random.below(static_cast<std::uint64_t>(wait.count()) + 1));
}

TimePoint Group::deadline() const {
  if (role_ == Role::leader) {
    const TimePoint leases_end = handing_over_ && !transfer_ ? row_leases_.last_until() : never;
    return std::min(leases_end, delayed_.empty() ? never : delayed_.begin()->first);
  }
  TimePoint query = removed() ? never : query_at_;
  return promotable() ? std::min(election_deadline_, query) : query;
}

void Group::tick() {
  if (now() < deadline()) return;
  if (role_ == Role::leader) {
    append_delayed();
    if (handing_over_ && !transfer_ && row_leases_.last_until() <= now()) drift_to_preferred();
    return;
  }
  if (now() >= query_at_ && !removed()) ask_membership();
  if (now() < election_deadline_ || !promotable()) return;
  if (incoming_ && incoming_->install) {  // about to be another log altogether
    reset_election_deadline();
    return;
  }
  pre_campaign();
}

void Group::become_follower(Term term, std::optional<Uuid> leader) {
  RINGFS_CHECK(term >= term_);
  if (role_ == Role::leader) stop_leading(leader);
  bool electing = role_ == Role::pre_candidate || role_ == Role::candidate;
  if (term > term_) {
    term_ = term;
    vote_ = Uuid{};
    persist_hard_state();
    if (incoming_ && !incoming_->install) drop_incoming();  // its leader is the past
  }
  if (electing) reset_election_deadline();
  role_ = promotable() ? Role::follower : Role::learner;
  leader_ = leader;
  votes_.clear();
  late_votes_.clear();
}

// A message that only the leader of its term sends: follow it. False: it is not what it claims, or of the past.
bool Group::follow(const Uuid& source, const RaftHeader& header) {
  if (header.term < term_) return false;
  if (header.term == term_ && role_ == Role::leader) return false;
  last_heard_ = now();
  query_at_ = last_heard_ + replica_query_timeout;
  failed_campaigns_ = 0;
  // Drawn once for each leader that is followed: a heartbeat is too frequent for another random number.
  if (header.term > term_ || leader_ != source || role_ == Role::candidate || role_ == Role::pre_candidate) {
    become_follower(header.term, source);
    reset_election_deadline();
  } else {
    election_deadline_ = now() + election_timeout_ + unfit_delay();  // it may have become slow since
  }
  return true;
}

void Group::stop_leading(std::optional<Uuid> next_leader) {
  event("step_down");
  ++services_.heartbeat_changes;
  leader_ = next_leader;
  for (auto& [replica, progress] : progress_) stop_snapshot(progress);
  progress_.clear();
  note_log_size();  // no follower here needs any of it
  transfer_.reset();
  preferred_since_.reset();
  handing_over_ = false;
  lease_seen_ = false;
  joint_since_.reset();
  stuck_since_.reset();
  services_.moving.erase(partition_);
  query_at_ = now() + replica_query_timeout;
  role_ = Role::follower;
  // What is committed will be applied here and answered then, unless the disk hangs; of the rest nobody can know. The
  // same sequence may be tried again.
  while (!operations_.empty() && (disk_hangs() || operations_.rbegin()->first > commit_)) {
    auto last = std::prev(operations_.end());
    fail_operation(last->second.operation, ErrorCode::not_leader, "leadership was lost");
    operations_.erase(last);
  }
  fail_delayed();
  fail_reads();
  row_leases_.clear();
  reset_election_deadline();
}

void Group::pre_campaign() {
  if (!promotable()) return;
  if (disk_hangs() &&
      !services_.faults.vote_with_hung_disk) {  // another vote could not be written; one that is under way still counts
    if (role_ != Role::candidate) role_ = Role::follower;
    leader_.reset();
    reset_election_deadline();
    return;
  }
  if (hard_state_write_ != 0) {
    // A term and a vote are under way, and nobody has been asked or told with them yet. Others would be written behind
    // them, and so on for ever where a write takes longer than this time-out.
    leader_.reset();
    set_retry_deadline();
    return;
  }
  if (role_ == Role::candidate) late_votes_ = votes_;
  role_ = Role::pre_candidate;
  leader_.reset();
  votes_.clear();
  votes_[replica_] = true;
  set_retry_deadline();
  ++failed_campaigns_;
  event("campaign", "pre_vote=1");
  if (vote_outcome(configuration(), votes_) == VoteOutcome::won) {
    campaign(false);
    return;
  }
  for (const ReplicaId& voter : all_voters(configuration())) {
    if (voter == replica_) continue;
    RequestVote request{header(voter), true, false, log_.last_index(), log_.last_term()};
    request.raft.term = term_ + 1;
    services_.out.send(voter.node, request);
  }
}

void Group::campaign(bool transfer) {
  if (!promotable()) return;
  if (role_ == Role::leader) stop_leading(std::nullopt);
  role_ = Role::candidate;
  leader_.reset();
  ++term_;
  vote_ = services_.self;
  votes_.clear();
  late_votes_.clear();
  persist_hard_state();
  // Two candidates that voted for themselves wait for each other in vain: of three voters the third one is gone.
  if (transfer)
    reset_election_deadline();
  else
    set_retry_deadline();
  event("campaign", transfer ? "pre_vote=0 transfer=1" : "pre_vote=0");
  for (const ReplicaId& voter : all_voters(configuration())) {
    if (voter == replica_) continue;
    // Behind the write: an answer must not make a leader whose own vote could still be forgotten.
    services_.out.send_after_write(voter.node,
                                   RequestVote{header(voter), false, transfer, log_.last_index(), log_.last_term()});
  }
}

void Group::receive(const Uuid& source, const RequestVote& message) {
  if (!accept(source, message.raft)) return;
  if (!holds_data_) return;  // its log is gone: it must not say that another one is up to date
  if (disk_hangs() && !services_.faults.vote_with_hung_disk)
    return;  // whoever counted on this vote would wait for it in vain
  bool up_to_date = message.last_term > log_.last_term() ||
                    (message.last_term == log_.last_term() && message.last_index >= log_.last_index());
  bool refuse = must_refuse_votes() && !(message.transfer && !message.pre_vote);
  VoteReply reply{answer_header(message.raft), message.pre_vote, false};
  if (message.pre_vote) {
    if (vote_ == source && hard_state_write_ != 0) return;  // this vote is about to be said, and as good as another one
    if (!refuse && up_to_date && message.raft.term > term_) {
      reply.granted = true;
      reply.raft.term = message.raft.term;
      services_.out.send(source, reply);  // a pre-vote binds nobody
    } else {
      services_.out.send_after_write(source, reply);
    }
    return;
  }
  if (!refuse) {
    if (message.raft.term > term_) become_follower(message.raft.term, std::nullopt);
    bool free = vote_ == source || (vote_.is_nil() && !leader_);
    if (message.raft.term == term_ && free && up_to_date && role_ != Role::leader) {
      reply.granted = true;
      if (vote_ != source) {
        vote_ = source;
        persist_hard_state();
      }
      reset_election_deadline();
    }
    reply.raft.term = term_;
  }
  if (services_.faults.send_vote_before_write)
    services_.out.send(source, reply);
  else
    services_.out.send_after_write(source, reply);
}

void Group::receive(const Uuid& source, const VoteReply& message) {
  if (!accept(source, message.raft)) return;
  bool pre_granted = message.pre_vote && message.granted;
  if (message.raft.term > term_ && !pre_granted) {
    become_follower(message.raft.term, std::nullopt);
    return;
  }
  ReplicaId voter{source, message.raft.source_added};
  if (!is_voter(configuration(), voter)) return;
  if (!message.pre_vote && message.raft.term == term_ && !late_votes_.empty()) {
    late_votes_[voter] = message.granted;
    if (vote_outcome(configuration(), late_votes_) == VoteOutcome::won) become_leader();
    return;
  }
  if (message.pre_vote) {
    if (role_ != Role::pre_candidate || (message.granted && message.raft.term != term_ + 1)) return;
  } else if (role_ != Role::candidate || message.raft.term != term_) {
    return;
  }
  votes_[voter] = message.granted;
  tally();
}

void Group::tally() {
  switch (vote_outcome(configuration(), votes_)) {
    case VoteOutcome::pending: return;
    case VoteOutcome::won:
      if (role_ == Role::pre_candidate)
        campaign(false);
      else
        become_leader();
      return;
    case VoteOutcome::lost:
      // Asks again at the deadline that is set.
      role_ = Role::follower;
      votes_.clear();
      return;
  }
}

void Group::become_leader() {
  role_ = Role::leader;
  leader_ = services_.self;
  votes_.clear();
  late_votes_.clear();
  progress_.clear();
  failed_campaigns_ = 0;
  led_since_ = now();
  lease_void_ = false;
  lease_seen_ = false;
  transfer_.reset();
  preferred_since_.reset();
  drop_incoming();  // chunks of a past leader
  configuration_changed();
  term_start_ = log_.last_index() + 1;
  event("leader_elected", "index=" + std::to_string(term_start_));
  append_local(EntryKind::no_op, {}, {}, false);
  for (const auto& [replica, progress] : progress_) services_.urgent_heartbeats.insert(replica.node);
}

// CheckQuorum: a leader that a quorum does not answer any more steps down, so that clients look for the other one.
void Group::check_quorum() {
  TimePoint heard = std::max(quorum_acknowledged_at(), led_since_);
  if (heard + services_.timing.election_minimum > now()) return;
  event("quorum_lost");
  become_follower(term_, std::nullopt);
}

void Group::peer_disconnected(const Uuid& peer) {
  for (auto& [replica, progress] : progress_) {  // what was in flight on that connection is lost
    if (replica.node != peer || progress.snapshot || (!progress.paused && progress.inflight.empty())) continue;
    progress.probe();
    mark();
  }
  if (leader_ != peer || role_ != Role::follower || !promotable() || unfit_delay() > Duration::zero()) return;
  // As soon as the lease of the leader ends, in the order of preference so that votes are not split.
  const Timing& timing = services_.timing;
  Duration jitter = timing.heartbeat / 5 + preference_rank(services_.self) * (timing.heartbeat / 2) +
                    Duration(services_.random.below(static_cast<std::uint64_t>(timing.heartbeat.count() / 2) + 1));
  TimePoint earliest = std::max(now(), std::max(last_heard_ + timing.lease, refuse_votes_until_)) + jitter;
  election_deadline_ = std::min(election_deadline_, earliest);
}

// Leadership drifts to the first of the preference list, where Chord lookups end, once that node has kept up for a
// while; from a leader that is being removed, or is not fit to lead, to anybody who can take it.
void Group::drift_to_preferred() {
  const bool unfit = should_not_lead();
  const bool hung = unfit && disk_hangs();
  if (transfer_) {
    if (now() < transfer_->deadline) {
      // Again, for the first one may have been lost; whoever has followed it ignores what is of an earlier term.
      if (transfer_->sent) services_.out.send(transfer_->target.node, TimeoutNow{header(transfer_->target)});
      return;
    }
    bool sent = transfer_->sent;
    transfer_.reset();
    preferred_since_.reset();
    next_transfer_ = now() + transfer_pause;
    event("transfer_failed");
    if (hung) give_up_leading();
    // The lease of this term was given away: take a new term, for which nobody need wait.
    else if (sent)
      campaign(true);
    return;
  }
  if (lease_void_ && !disk_hangs()) {  // it hung, and nobody took over or could: as above
    campaign(true);
    return;
  }
  handing_over_ = false;  // until it turns out below that it is time
  if (unfit) ask_about_disks();
  if (now() < next_transfer_ && !hung) return;
  std::optional<ReplicaId> target;
  if (unfit) {
    target = target_of_unfit();
  } else if (damage_ != Damage::none) {
    target = target_of_damaged();
  } else {
    target = joint_since_ && leaving() ? target_of_leaving() : target_with_room();
    if (!target) target = preferred_primary();
  }
  if (!target) {
    if (hung && services_.fitness.stalled(now()) >= 2 * disk_timeout) give_up_leading();
    return;
  }
  // No new row leases, and those granted must end before: the next leader would not know them.
  handing_over_ = true;
  if (row_leases_.last_until() > now()) return;
  transfer_ = Transfer{*target, now() + services_.timing.election_minimum / (hung ? 2 : 1), false};
  event("transfer", "to=" + target->node.text());
  transfer_if_ready();
}

// The preferred primary, if it is another one and has kept up for long enough.
std::optional<ReplicaId> Group::preferred_primary() {
  const std::vector<ReplicaId>& voters = configuration().voters;
  auto preferred =
      std::find_if(voters.begin(), voters.end(), [&](const ReplicaId& one) { return preference_rank(one.node) == 0; });
  auto progress = preferred == voters.end() ? progress_.end() : progress_.find(*preferred);
  const bool suits = progress != progress_.end() && !progress->second.damaged &&
                     caught_up(*preferred, progress->second) && !said_unfit(*preferred);
  if (!suits || room_of(preferred->node) < services_.room) {
    preferred_since_.reset();
    return std::nullopt;
  }
  // The random part spreads the transfers of a node that came back.
  if (!preferred_since_) preferred_since_ = now() + Duration(services_.random.below(1000000));
  if (*preferred_since_ + transfer_timeout > now()) return std::nullopt;
  if (known_fit(*preferred)) return *preferred;
  ask_about_disks();
  return std::nullopt;
}

void Group::transfer_if_ready() {
  if (!transfer_ || transfer_->sent) return;
  auto target = progress_.find(transfer_->target);
  if (target == progress_.end() || target->second.match != log_.last_index()) return;
  if (row_leases_.last_until() > now() || !delayed_.empty()) return;  // the row leases end in this term
  transfer_->sent = true;
  lease_void_ = true;
  services_.out.send(target->first.node, TimeoutNow{header(target->first)});
}

void Group::receive(const Uuid& source, const TimeoutNow& message) {
  if (!accept(source, message.raft)) return;
  if (message.raft.term != term_ || leader_ != source || role_ != Role::follower || !promotable()) return;
  if (incoming_ && incoming_->install) return;
  if (disk_hangs() && !services_.faults.vote_with_hung_disk)
    return;  // the leader finds another way when nobody answers
  campaign(true);
}

}  // namespace ringfs::dht

// Elections: who votes for whom, who stands and when, and what begins and ends with a leadership.
#include "dht/core/raft/election.hpp"

#include <algorithm>

#include "dht/core/raft/quorum.hpp"

namespace ringfs::dht {

Election::Election(ReplicaState& state, GroupServices& services, ReplicaLife& life, SnapshotReceiver& receiver,
                   Commitments& commitments, bool created)
    : state_(state), services_(services), life_(life), receiver_(receiver), commitments_(commitments) {
  const Timing& timing = services_.timing;
  if (!created) refuse_votes_until_ = now() + timing.lease;
  votes_in_configuration_ = state_.promotable();  // of what it knew: FormerLeases
  set_role_in_configuration();
  // The preferred primary comes first, so that a fresh ring is usable at once and leaders are where lookups end.
  reset_deadline();
  if (state_.preference_rank(services_.self) == 0)
    deadline_ = now() + timing.lease + timing.heartbeat / 5 + Duration(services_.random.below(40000));
  else
    deadline_ += timing.lease;
}

void Election::check() const {
  RINGFS_CHECK((role_ == Role::leader) == leader_.has_value());
  if (leader_) RINGFS_CHECK(leader_->term_start() <= state_.log().last_index());
}

// ---- Votes ----------------------------------------------------------------------------------------

// Whoever acknowledged a heartbeat granted that leader a lease: for its length it votes for nobody else. The process
// may have granted one just before it was started anew. A leader is bound by its own lease. Only a RequestVote that the
// leader asked for (TimeoutNow) passes: that leader takes no lease any more in the term that is being left.
bool Election::must_refuse_votes() const {
  if (services_.faults.ignore_lease) return false;
  if (now() < refuse_votes_until_) return true;
  if (leader_) return leader_->leases().voters_are_bound();
  return last_heard_ + services_.timing.lease > now();
}

// The vote of a hung disk could not be written: whoever counted on it would wait in vain.
bool Election::may_vote() const { return !services_.disk_hangs() || services_.faults.vote_with_hung_disk; }

void Election::receive(const Uuid& source, const RequestVote& message) {
  if (!state_.holds_data()) return;  // its log is gone: it cannot tell whether another one is up to date
  if (!may_vote()) return;
  const Log& log = state_.log().entries();
  bool up_to_date = message.last_term > log.last_term() ||
                    (message.last_term == log.last_term() && message.last_index >= log.last_index());
  bool refuse = must_refuse_votes() && !(message.transfer && !message.pre_vote);
  VoteReply reply = vote_reply(message);
  if (message.pre_vote) {
    // This vote is about to be said, and as good as another one.
    if (state_.vote() == source && state_.hard_state_pending()) return;
    if (!refuse && up_to_date && message.raft.term > state_.term()) {
      reply.granted = true;
      reply.raft.term = message.raft.term;
      services_.out.send(source, reply);  // a pre-vote binds nobody
    } else {
      services_.out.send_after_write(source, reply);
    }
    return;
  }
  if (!refuse) {
    if (message.raft.term > state_.term()) become_follower(message.raft.term, std::nullopt);
    bool free = state_.vote() == source || (state_.vote().is_nil() && !state_.leader());
    if (message.raft.term == state_.term() && free && up_to_date && role_ != Role::leader) {
      reply.granted = true;
      if (state_.vote() != source) state_.vote_for(source);
      reset_deadline();
    }
    reply.raft.term = state_.term();
  }
  if (services_.faults.send_vote_before_write)
    services_.out.send(source, reply);
  else
    services_.out.send_after_write(source, reply);
}

// With its vote a voter says who may hold row leases.
VoteReply Election::vote_reply(const RequestVote& message) const {
  VoteReply reply{state_.answer_header(message.raft), message.pre_vote, false};
  if (message.pre_vote) return reply;
  FormerLeases known = commitments_.former_leases;
  if (leader_) known.granted(commitments_.row_leases.holders(now()));
  reply.lease_holders = known.left(now());
  reply.leases_unknown = known.unknown(now());
  return reply;
}

void Election::receive(const Uuid& source, const VoteReply& message) {
  ReplicaId voter{source, message.raft.source_added};
  if (!is_voter(state_.configuration(), voter)) return;
  if (message.granted) commitments_.former_leases.learn(message.lease_holders, message.leases_unknown, now());
  if (!message.pre_vote && message.raft.term == state_.term() && !late_votes_.empty()) {
    late_votes_[voter] = message.granted;
    if (vote_outcome(state_.configuration(), late_votes_) == VoteOutcome::won) become_leader();
    return;
  }
  if (message.pre_vote) {
    if (role_ != Role::pre_candidate || (message.granted && message.raft.term != state_.term() + 1)) return;
  } else if (role_ != Role::candidate || message.raft.term != state_.term()) {
    return;
  }
  votes_[voter] = message.granted;
  tally();
}

void Election::tally() {
  switch (vote_outcome(state_.configuration(), votes_)) {
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

// Only now the own vote counts, and only now requests or a vote have left: the others get the time to answer.
void Election::hard_state_written() {
  if (leader_) return;
  deadline_ = std::max(deadline_, now() + retry_wait());
  if (role_ != Role::candidate) return;
  votes_[state_.id()] = true;
  tally();
}

// ---- Timeouts -------------------------------------------------------------------------------------

// An unfit node stands later than those that are fit. If it is elected all the same, it hands over.
Duration Election::unfit_delay() const {
  if (!services_.should_not_lead()) return Duration::zero();
  const std::vector<ReplicaId> voters = all_voters(state_.configuration());
  const bool any_fit = std::any_of(voters.begin(), voters.end(), [this](const ReplicaId& voter) {
    return voter != state_.id() && services_.fitness.fit(voter.node, now());
  });
  return any_fit ? services_.timing.election_maximum : Duration::zero();
}

void Election::reset_deadline() {
  const Timing& timing = services_.timing;
  auto spread = static_cast<std::uint64_t>(
      std::max<std::int64_t>((timing.election_maximum - timing.election_minimum).count(), 1));
  timeout_ = timing.election_minimum + Duration(services_.random.below(spread));
  deadline_ = now() + timeout_ + Distances::patience * distance() + unfit_delay();
}

// Of the leader, if it is known; else of the farthest voter.
Duration Election::distance() const {
  if (state_.leader()) return services_.distances.to(*state_.leader());
  Duration longest{};
  for (const ReplicaId& voter : all_voters(state_.configuration()))
    longest = std::max(longest, services_.distances.to(voter.node));
  return longest;
}

// After so long a campaign that decided nothing is tried again: sooner than a follower's timeout, for nobody leads
// meanwhile, but later each time, for slow disks and networks.
Duration Election::retry_wait() const {
  Duration wait = services_.timing.election_minimum / 4;
  for (unsigned i = 0; i < std::min(failed_campaigns_, 3U); ++i) wait = wait * 2;
  return std::min(wait, services_.timing.election_minimum) + distance();
}

void Election::set_retry_deadline() {
  const Duration wait = retry_wait();
  deadline_ = now() + wait + Duration(services_.random.below(static_cast<std::uint64_t>(wait.count()) + 1));
}

TimePoint Election::deadline() const {
  if (leader_) return leader_->deadline();
  return state_.promotable() ? std::min(deadline_, life_.deadline()) : life_.deadline();
}

void Election::tick() {
  if (now() < deadline()) return;
  if (leader_) {
    carry_out(leader_->tick());
    return;
  }
  if (now() >= life_.deadline()) life_.ask();
  if (now() < deadline_ || !state_.promotable()) return;
  if (receiver_.installing())
    reset_deadline();  // about to be another log altogether
  else
    pre_campaign();
}

// If the peer led, this replica stands as soon as the peer's lease has ended, in the order of preference so that votes
// are not split.
void Election::peer_disconnected(const Uuid& peer) {
  if (leader_) leader_->peer_disconnected(peer);
  if (state_.leader() != peer || role_ != Role::follower || !state_.promotable() || unfit_delay() > Duration::zero())
    return;
  const Timing& timing = services_.timing;
  Duration jitter = timing.heartbeat / 5 + state_.preference_rank(services_.self) * (timing.heartbeat / 2) +
                    Duration(services_.random.below(static_cast<std::uint64_t>(timing.heartbeat.count() / 2) + 1));
  TimePoint earliest = std::max(now(), std::max(last_heard_ + timing.lease, refuse_votes_until_)) + jitter;
  deadline_ = std::min(deadline_, earliest);
}

// ---- Roles ----------------------------------------------------------------------------------------

void Election::set_role_in_configuration() {
  const bool votes = state_.promotable();
  if (votes && !votes_in_configuration_) commitments_.former_leases.became_voter(now());
  votes_in_configuration_ = votes;
  role_ = votes ? Role::follower : Role::learner;
}

void Election::configuration_changed() {
  if (role_ == Role::follower || role_ == Role::learner) set_role_in_configuration();
}

void Election::become_follower(Term term, std::optional<Uuid> leader) {
  RINGFS_CHECK(term >= state_.term());
  if (leader_) stop_leading(leader);
  const bool electing = role_ == Role::pre_candidate || role_ == Role::candidate;
  if (term > state_.term()) {
    state_.enter_term(term);
    receiver_.drop_unless_installing();
  }
  if (electing) reset_deadline();
  set_role_in_configuration();
  state_.set_leader(leader);
  votes_.clear();
  late_votes_.clear();
}

void Election::follow(const Uuid& leader, Term term) {
  RINGFS_CHECK(term >= state_.term() && !(leader_ && term == state_.term()));  // message_rules.hpp
  last_heard_ = now();
  life_.led();
  failed_campaigns_ = 0;
  // Drawn once for each leader that is followed: a heartbeat is too frequent for another random number.
  if (term > state_.term() || state_.leader() != leader || role_ == Role::candidate || role_ == Role::pre_candidate) {
    become_follower(term, leader);
    reset_deadline();
  } else {
    // It may have become slow or far since.
    deadline_ = now() + timeout_ + Distances::patience * distance() + unfit_delay();
  }
}

void Election::pre_campaign() {
  if (!may_vote()) {  // another vote could not be written; one that is under way still counts
    if (role_ != Role::candidate) role_ = Role::follower;
    state_.set_leader(std::nullopt);
    reset_deadline();
    return;
  }
  if (state_.hard_state_pending()) {
    // A term and a vote are under way, and nobody has been asked or told with them yet. Others would be written behind
    // them, and so on for ever where a write takes longer than this timeout.
    state_.set_leader(std::nullopt);
    set_retry_deadline();
    return;
  }
  if (role_ == Role::candidate) late_votes_ = votes_;
  role_ = Role::pre_candidate;
  state_.set_leader(std::nullopt);
  votes_.clear();
  votes_[state_.id()] = true;
  set_retry_deadline();
  ++failed_campaigns_;
  state_.event("campaign", "pre_vote=1");
  if (vote_outcome(state_.configuration(), votes_) == VoteOutcome::won) {
    campaign(false);
    return;
  }
  const Log& log = state_.log().entries();
  for (const ReplicaId& voter : all_voters(state_.configuration())) {
    if (voter == state_.id()) continue;
    RequestVote request{state_.header(voter), true, false, log.last_index(), log.last_term()};
    request.raft.term = state_.term() + 1;
    services_.out.send(voter.node, request);
  }
}

void Election::campaign(bool transfer) {
  if (!state_.promotable()) return;
  if (leader_) stop_leading(std::nullopt);
  role_ = Role::candidate;
  state_.set_leader(std::nullopt);
  votes_.clear();
  late_votes_.clear();
  state_.stand();
  // After a transfer nobody else stands. Otherwise two candidates that voted for themselves may wait for each other in
  // vain, if of three voters the third one is gone.
  if (transfer)
    reset_deadline();
  else
    set_retry_deadline();
  state_.event("campaign", transfer ? "pre_vote=0 transfer=1" : "pre_vote=0");
  const Log& log = state_.log().entries();
  for (const ReplicaId& voter : all_voters(state_.configuration())) {
    if (voter == state_.id()) continue;
    // Behind the write: an answer must not make a leader whose own vote could still be forgotten.
    services_.out.send_after_write(
        voter.node, RequestVote{state_.header(voter), false, transfer, log.last_index(), log.last_term()});
  }
}

void Election::receive(const Uuid& source, const TimeoutNow&) {
  if (state_.leader() != source || role_ != Role::follower || !state_.promotable()) return;
  if (receiver_.installing()) return;
  if (!may_vote()) return;  // the leader finds another way when nobody answers
  campaign(true);
}

// ---- Leadership -----------------------------------------------------------------------------------

void Election::become_leader() {
  role_ = Role::leader;
  state_.set_leader(services_.self);
  votes_.clear();
  late_votes_.clear();
  failed_campaigns_ = 0;
  receiver_.drop();  // snapshot chunks of a past leader
  leader_.emplace(state_, services_, commitments_);
  leader_->begin();
}

void Election::stop_leading(std::optional<Uuid> next_leader) {
  state_.event("step_down");
  ++services_.heartbeat_changes;
  state_.set_leader(next_leader);
  leader_->end();
  leader_.reset();
  life_.led();
  role_ = Role::follower;
  reset_deadline();
}

void Election::carry_out(Verdict verdict) {
  switch (verdict) {
    case Verdict::lead_on: return;
    case Verdict::step_down: become_follower(state_.term(), std::nullopt); return;
    case Verdict::give_way:
      become_follower(state_.term(), std::nullopt);
      deadline_ = now() + 3 * services_.timing.election_maximum;
      return;
    case Verdict::stand: campaign(true); return;
  }
}

void Election::withdraw() {
  if (leader_) stop_leading(std::nullopt);
  for (const auto& [index, pending] : commitments_.operations) {
    state_.fail(pending.operation, ErrorCode::unavailable, "this replica is gone, the others know the outcome");
  }
  commitments_.operations.clear();
  receiver_.drop();
  role_ = Role::learner;
  votes_in_configuration_ = false;
  state_.set_leader(std::nullopt);
  votes_.clear();
  late_votes_.clear();
}

}  // namespace ringfs::dht

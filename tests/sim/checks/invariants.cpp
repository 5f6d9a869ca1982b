// Checks the invariants at every message, write and apply, and counts the transitions for the coverage table.
#include "tests/sim/checks/invariants.hpp"

#include <algorithm>
#include <set>

#include "dht/base/hash.hpp"
#include "dht/core/raft/quorum.hpp"

namespace ringfs::sim {

namespace {

std::uint64_t body_of(const dht::Entry& entry) {
  std::uint64_t hash = checksum(entry.head.view(), static_cast<std::uint64_t>(entry.kind) + 1);
  for (const SharedBytes& blob : entry.blobs) hash = checksum(blob.view(), hash);
  hash = checksum(std::to_string(entry.stamp.microseconds), hash);
  return hash | 1;
}

std::string at(dht::LogIndex index, dht::Term term) {
  return "index " + std::to_string(index) + " term " + std::to_string(term);
}

}  // namespace

void Invariants::violate(const char* invariant, PartitionId partition, const std::string& detail) {
  world_.violate(invariant, "partition " + std::to_string(index_of(partition)) + ": " + detail);
}

void Invariants::leader(PartitionId partition, dht::Term term, const Uuid& node) {
  std::map<dht::Term, Uuid>& leaders = partitions_[partition].leaders;
  auto [found, inserted] = leaders.try_emplace(term, node);
  if (inserted && leaders.size() > 1) world_.count("elections");
  if (!inserted && found->second != node) {
    violate("one leader per term", partition,
            "term " + std::to_string(term) + " is led by " + found->second.text() + " and " + node.text());
  }
}

// The term that a message names as its sender's own. A pre-vote asks about a term that nobody has entered.
// Heartbeats are answered before a new term is durable, on purpose: a refusal commits the node to nothing.
void Invariants::term_sent(const dht::Envelope& envelope) {
  auto say = [&](PartitionId partition, dht::Term term) {
    dht::Term& said = partitions_[partition].said[envelope.header.source];
    said = std::max(said, term);
  };
  if (const auto* heartbeat = std::get_if<dht::Heartbeat>(&envelope.message)) {
    for (const dht::HeartbeatGroup& group : heartbeat->groups) say(group.partition, group.term);
  }
  std::visit(
      [&](const auto& message) {
        if constexpr (requires { message.pre_vote; }) {
          if (message.pre_vote) return;
        }
        if constexpr (requires { message.raft; }) say(message.raft.partition, message.raft.term);
      },
      envelope.message);
}

void Invariants::on_start(const Uuid& node, const DiskState& durable) {
  for (const auto& [partition, known] : partitions_) {
    auto said = known.said.find(node);
    if (said == known.said.end()) continue;
    auto group = durable.groups.find(partition);
    dht::Term kept = group == durable.groups.end() ? 0 : group->second.hard_state.term;
    if (kept < said->second) {
      violate("terms that left are durable", partition,
              node.text() + " said term " + std::to_string(said->second) + " and starts with " + std::to_string(kept));
    }
  }
  auto spoke = incarnations_.find(node);
  if (spoke != incarnations_.end() && durable.incarnation.counter <= spoke->second.counter) {
    world_.violate("incarnations rise", node.text() + " was " + std::to_string(spoke->second.counter) +
                                            " and starts as " + std::to_string(durable.incarnation.counter));
  }
}

void Invariants::on_entries_made(PartitionId partition, const std::vector<dht::Entry>& entries) {
  for (const dht::Entry& entry : entries) {
    partitions_[partition].stamps.try_emplace({entry.index, entry.term}, entry.stamp, world_.now() + suspended_);
  }
}

void Invariants::append_sent(const dht::Append& append) {
  std::map<dht::LogIndex, dht::Term>& sent = partitions_[append.raft.partition].sent[append.raft.term];
  if (append.previous_index > 0) sent[append.previous_index] = append.previous_term;
  for (const dht::Entry& entry : append.entries) {
    sent[entry.index] = entry.term;
    if (entry.kind != dht::EntryKind::configuration || entry.term != append.raft.term) continue;
    if (Result<dht::Configuration> decoded = dht::decode_configuration(entry.head.view())) {
      configuration_proposed(append.raft.partition, entry.index, entry.term, *decoded);
    }
  }
}

void Invariants::acknowledged(const Uuid& source, const dht::AppendReply& reply, const DiskState& disk) {
  if (!reply.success) return;
  check_filled(reply.raft.partition, {source, reply.raft.source_added}, "acknowledged an append");
  auto group = disk.groups.find(reply.raft.partition);
  // It was held back behind a write; meanwhile a committed configuration excluded the replica and its data went.
  if (group != disk.groups.end() &&
      (group->second.replica.added != reply.raft.source_added || !group->second.holds_data))
    return;
  dht::LogIndex durable = group == disk.groups.end() ? 0 : group->second.last_index();
  // The reply was held back behind a write, with which a leader of a later term replaced these entries: what it says
  // was so in its term, and no leader of a later term lacks what was committed by it.
  const bool replaced = group != disk.groups.end() && group->second.hard_state.term > reply.raft.term;
  if (durable < reply.match && !replaced) {
    violate("acknowledged appends are durable", reply.raft.partition,
            source.text() + " acknowledged " + std::to_string(reply.match) + " and has " + std::to_string(durable));
    return;
  }
  // What a snapshot covers is compared when it is installed.
  if (group == disk.groups.end() || group->second.hard_state.term != reply.raft.term) return;
  if (group->second.base_index > reply.match || reply.match == 0) return;
  const std::map<dht::LogIndex, dht::Term>& sent = partitions_[reply.raft.partition].sent[reply.raft.term];
  auto leaders = sent.find(reply.match);
  dht::Term here = group->second.term_at(reply.match);
  if (leaders == sent.end()) {
    // What the sender knows to be committed agrees with the leader, whether the leader sent it or not.
    const std::map<dht::LogIndex, Known>& committed = partitions_[reply.raft.partition].committed;
    auto known = committed.find(reply.match);
    if (known != committed.end() && known->second.term == here) return;
    violate("acknowledged appends are durable", reply.raft.partition,
            source.text() + " acknowledged " + std::to_string(reply.match) + ", which the leader never sent");
    return;
  }
  world_.count("acknowledged terms compared");
  if (here != leaders->second) {
    violate(
        "acknowledged appends are durable", reply.raft.partition,
        source.text() + " acknowledged " + at(reply.match, leaders->second) + " and has term " + std::to_string(here));
  }
}

void Invariants::on_send(const dht::Envelope& envelope, const DiskState& disk) {
  const Uuid& source = envelope.header.source;
  term_sent(envelope);
  incarnations_[source] = envelope.header.incarnation;
  if (const auto* append = std::get_if<dht::Append>(&envelope.message)) {
    leader(append->raft.partition, append->raft.term, source);
    append_sent(*append);  // first: the leader uses the newest configuration of its log, which may be in this message
    committed_by_leader(append->raft.partition, append->commit, append->raft.term, disk);
  } else if (const auto* heartbeat = std::get_if<dht::Heartbeat>(&envelope.message)) {
    for (const dht::HeartbeatGroup& group : heartbeat->groups) {
      leader(group.partition, group.term, source);
      committed_by_leader(group.partition, group.commit, group.term, disk);
    }
  } else if (const auto* request = std::get_if<dht::RequestVote>(&envelope.message)) {
    world_.count(request->pre_vote ? "raft: pre-vote asked" : "raft: vote asked");
  } else if (const auto* vote = std::get_if<dht::VoteReply>(&envelope.message)) {
    vote_sent(envelope, *vote, disk);
  } else if (const auto* reply = std::get_if<dht::AppendReply>(&envelope.message)) {
    acknowledged(source, *reply, disk);
  } else if (const auto* chunk = std::get_if<dht::SnapshotChunk>(&envelope.message)) {
    leader(chunk->raft.partition, chunk->raft.term, source);
    partitions_[chunk->raft.partition].sent[chunk->raft.term][chunk->last_index] = chunk->last_term;
  } else if (const auto* handed_over = std::get_if<dht::TimeoutNow>(&envelope.message)) {
    world_.count("raft: leadership handed over");
    leader(handed_over->raft.partition, handed_over->raft.term, source);
  } else if (const auto* installed = std::get_if<dht::SnapshotReply>(&envelope.message)) {
    if (installed->raft.term >= foreign_term)
      violate("foreign rings", installed->raft.partition, "an answer to a forged message");
  }
}

void Invariants::vote_sent(const dht::Envelope& envelope, const dht::VoteReply& reply, const DiskState& disk) {
  PartitionId partition = reply.raft.partition;
  if (reply.raft.term >= foreign_term) violate("foreign rings", partition, "an answer to a forged message");
  if (!reply.granted) world_.count(reply.pre_vote ? "raft: pre-vote refused" : "raft: vote refused");
  if (reply.pre_vote || !reply.granted) return;
  check_filled(partition, {envelope.header.source, reply.raft.source_added}, "voted");
  const Uuid& voter = envelope.header.source;
  const Uuid& candidate = envelope.header.destination;
  auto [vote, first] = votes_.try_emplace({voter, partition, reply.raft.term}, candidate);
  if (!first && vote->second != candidate) {
    violate("one vote per term", partition, voter.text() + " voted twice in term " + std::to_string(reply.raft.term));
  }
  auto group = disk.groups.find(partition);
  dht::HardState durable = group == disk.groups.end() ? dht::HardState{} : group->second.hard_state;
  bool kept = durable.term > reply.raft.term || (durable.term == reply.raft.term && durable.vote == candidate);
  if (!kept)
    violate("a vote is durable before it leaves", partition,
            voter.text() + " in term " + std::to_string(reply.raft.term));
}

void Invariants::committed_by_leader(PartitionId partition, dht::LogIndex index, dht::Term term,
                                     const DiskState& disk) {
  Partition& known = partitions_[partition];
  if (index <= known.highest) return;
  auto group = disk.groups.find(partition);
  // The leader's own disk may lag behind the others', but it knows the entries' terms.
  dht::Term entry_term = group == disk.groups.end() ? 0 : group->second.term_at(index);
  if (entry_term == 0) entry_term = term;
  require_majority(partition, index, entry_term);
  known.highest = index;
  known.highest_term = std::max(known.highest_term, entry_term);
}

// By the configuration in force at the entry, or by a later one: a leader uses the newest one in its log.
void Invariants::require_majority(PartitionId partition, dht::LogIndex index, dht::Term term) {
  std::set<dht::ReplicaId> holders;
  durable_([&](const Uuid& node, const DiskState& disk) {
    auto group = disk.groups.find(partition);
    if (group == disk.groups.end() || !group->second.holds_data) return;
    if (group->second.base_index >= index || group->second.term_at(index) == term) {
      holders.insert({node, group->second.replica.added});
    }
  });
  auto majority = [&](const std::vector<dht::ReplicaId>& half) {
    auto holding =
        std::count_if(half.begin(), half.end(), [&](const dht::ReplicaId& voter) { return holders.contains(voter); });
    return half.empty() || static_cast<std::size_t>(holding) * 2 > half.size();
  };
  const std::vector<dht::Configuration> candidates = configurations_from(partition, index);
  bool durable = std::any_of(candidates.begin(), candidates.end(), [&](const dht::Configuration& one) {
    return majority(one.voters) && majority(one.old_voters);
  });
  if (durable) return;
  violate("committed means durable on a majority", partition,
          at(index, term) + " is durable on " + std::to_string(holders.size()) + " replicas");
}

// The newest committed one at or below `index`, the committed ones above it, and proposed ones above all of these.
std::vector<dht::Configuration> Invariants::configurations_from(PartitionId partition, dht::LogIndex index) const {
  const Partition& known = partitions_.at(partition);
  std::vector<dht::Configuration> found;
  auto first = known.configurations.upper_bound(index);
  if (first != known.configurations.begin()) --first;
  for (auto one = first; one != known.configurations.end(); ++one) found.push_back(one->second);
  dht::LogIndex newest = known.configurations.empty() ? 0 : known.configurations.rbegin()->first;
  for (const auto& [place, configuration] : known.proposed) {
    if (place.first > newest) found.push_back(configuration);
  }
  return found;
}

void Invariants::on_reset(const Uuid& node, PartitionId partition, std::optional<dht::LogIndex> had_data) {
  if (!had_data) return;
  const Partition& known = partitions_[partition];
  world_.count("raft: a replica's data dropped");
  if (known.configurations.empty() || !names(known.configurations.rbegin()->second, {node, *had_data})) return;
  violate("data goes after the commit", partition, node.text() + " drops replica " + std::to_string(*had_data));
}

void Invariants::on_append(PartitionId partition, dht::Term previous_term, const dht::Entry& entry) {
  if (entry.term >= foreign_term) violate("foreign rings", partition, "a forged entry was logged");
  if (entry.kind == dht::EntryKind::configuration) {
    if (Result<dht::Configuration> decoded = dht::decode_configuration(entry.head.view())) {
      configuration_proposed(partition, entry.index, entry.term, *decoded);
    }
  }
  Partition& known = partitions_[partition];
  std::uint64_t body = body_of(entry);
  auto [found, inserted] = known.entries.try_emplace({entry.index, entry.term}, previous_term, body);
  if (!inserted && found->second != std::pair(previous_term, body)) {
    violate("log matching", partition, at(entry.index, entry.term) + " exists with two contents or predecessors");
  }
  if (inserted) check_stamp(partition, previous_term, entry);
}

void Invariants::check_stamp(PartitionId partition, dht::Term previous_term, const dht::Entry& entry) {
  // An entry is seen when its leader makes it, or late if the leader is frozen meanwhile.
  constexpr Duration slack = std::chrono::seconds(30);
  Partition& known = partitions_[partition];
  const TimePoint now = world_.now() + suspended_;
  known.stamps.try_emplace({entry.index, entry.term}, entry.stamp, now);
  auto previous = known.stamps.find({entry.index - 1, previous_term});
  if (previous == known.stamps.end()) return;
  const auto& [stamp, seen] = previous->second;
  const Duration passed = now - seen;
  if (entry.stamp < stamp)
    violate("log time", partition, at(entry.index, entry.term) + " has an earlier stamp than the one before");
  if (entry.stamp - stamp > passed * 12 / 10 + slack) {  // a tenth, and the drift of boot clocks
    violate("log time", partition,
            at(entry.index, entry.term) + " is stamped " + std::to_string((entry.stamp - stamp).count()) +
                " us after the one before, which was seen " + std::to_string(passed.count()) + " us ago");
  }
}

void Invariants::on_hard_state_lost(const Uuid& node, PartitionId partition) {
  partitions_[partition].said.erase(node);
  std::erase_if(votes_, [&](const auto& vote) {
    return std::get<0>(vote.first) == node && std::get<1>(vote.first) == partition;
  });
}

void Invariants::on_hard_state(const Uuid& node, PartitionId partition, const dht::HardState& before,
                               const dht::HardState& after) {
  if (after.term >= foreign_term) violate("foreign rings", partition, node.text() + " adopted a forged term");
  if (after.term < before.term) violate("terms never go back", partition, node.text());
  if (after.term == before.term && !before.vote.is_nil() && after.vote != before.vote) {
    violate("one vote per term", partition, node.text() + " changed its vote in term " + std::to_string(after.term));
  }
}

void Invariants::on_applied(const Uuid& node, PartitionId partition, const AppliedEntry& applied) {
  const dht::Entry& entry = *applied.entry;
  Partition& known = partitions_[partition];
  if (entry.index > known.highest) {
    require_majority(partition, entry.index, entry.term);
    known.highest = entry.index;
  }
  known.highest_term = std::max(known.highest_term, entry.term);
  if (entry.kind == dht::EntryKind::configuration) {
    if (Result<dht::Configuration> decoded = dht::decode_configuration(entry.head.view())) {
      configuration_committed(partition, entry.index, *decoded);
    }
  }
  Known& committed_entry = known.committed[entry.index];
  std::uint64_t body = body_of(entry);
  std::uint64_t state = applied.state_hash | 1;
  if (committed_entry.body == 0) {
    committed_entry.term = entry.term;
    committed_entry.body = body;
  } else if (committed_entry.term != entry.term || committed_entry.body != body) {
    violate("committed entries never change", partition, at(entry.index, entry.term) + " at " + node.text());
  }
  if (committed_entry.state == 0) {
    committed_entry.state = state;
    count_transitions(applied);
  } else if (committed_entry.state != state) {
    violate("equal applied index, equal state", partition, at(entry.index, entry.term) + " at " + node.text());
  }
  if (applied.batch == nullptr || applied.result == nullptr) return;
  using Outcome = BatchResult::Outcome;
  // A retry is answered from the record with the version of the entry that executed it.
  if (applied.result->outcome != Outcome::applied || applied.result->version != entry.index) return;
  auto [executed, first] = known.executed.try_emplace({applied.batch->client, applied.batch->sequence}, entry.index);
  if (!first && executed->second != entry.index) {
    violate("exactly once", partition,
            "client " + applied.batch->client.text() + " sequence " + std::to_string(applied.batch->sequence) +
                " was executed by entries " + std::to_string(executed->second) + " and " + std::to_string(entry.index));
  }
}

// For an entry that is applied for the first time on any replica.
void Invariants::count_transitions(const AppliedEntry& applied) {
  if (applied.patched_shared) world_.count("batch: wrote into a payload that the log shares");
  if (applied.batch == nullptr || applied.result == nullptr) return;
  const Batch& batch = *applied.batch;
  switch (applied.result->outcome) {
    case BatchResult::Outcome::applied: break;
    case BatchResult::Outcome::condition_failed: world_.count("batch: condition failed"); return;
    case BatchResult::Outcome::locked: world_.count("batch: met a lock"); return;
    case BatchResult::Outcome::expired: world_.count("batch: expired"); return;
    case BatchResult::Outcome::superseded: world_.count("batch: superseded"); return;
    case BatchResult::Outcome::invalid: return;
  }
  if (applied.result->version != applied.entry->index) {
    world_.count("batch: answered from the record (dedup)");
    return;
  }
  std::optional<TransactionBatch> part = transaction_batch(batch);
  if (!part) return;
  world_.count(name_of(part->step));
  if (part->step == TransactionStep::first_prepare) coordinators_.emplace(part->id, batch.client);
  auto coordinator = coordinators_.find(part->id);
  if (coordinator == coordinators_.end() || coordinator->second == batch.client) return;
  if (part->step == TransactionStep::abort) world_.count("transaction: lock broken, coordinator taken for dead");
  if (part->step == TransactionStep::tombstone) world_.count("transaction: tombstone over nothing by another");
  if (part->step == TransactionStep::resolve_committed) world_.count("transaction: part resolved by another");
  if (part->step == TransactionStep::resolve_aborted) world_.count("transaction: part dropped by another");
}

void Invariants::on_installed(const dht::ReplicaId& replica, PartitionId partition, dht::LogIndex index, dht::Term term,
                              std::uint64_t state_hash) {
  Partition& known = partitions_[partition];
  known.filled.insert(replica);
  auto found = known.committed.find(index);
  if (found == known.committed.end() || found->second.body == 0) {
    if (index != 0)
      violate("snapshots hold committed entries only", partition, at(index, term) + " at " + replica.node.text());
    return;
  }
  if (found->second.term != term) violate("committed entries never change", partition, "snapshot " + at(index, term));
  if (found->second.state != (state_hash | 1)) {
    violate("equal applied index, equal state", partition,
            "snapshot " + at(index, term) + " at " + replica.node.text());
  }
}

void Invariants::on_commit_reply(PartitionId partition, const BatchResult& result) {
  if (result.outcome != BatchResult::Outcome::applied) return;
  Partition& known = partitions_[partition];
  auto found = known.committed.find(result.version);
  if (found == known.committed.end() || found->second.body == 0) {
    violate("acknowledged commits are committed", partition, "index " + std::to_string(result.version));
  }
}

void Invariants::on_read_reply(const Uuid& node, PartitionId partition, const dht::ReadAnswer& answer,
                               dht::Term committed_term, const DiskState& disk) {
  const Partition& known = partitions_[partition];
  auto group = disk.groups.find(partition);
  if (group == disk.groups.end()) return violate("reads come from replicas", partition, node.text());
  if (committed_term > group->second.hard_state.term) {
    violate("leases", partition,
            node.text() + " served a read in term " + std::to_string(group->second.hard_state.term) +
                " after a commit in term " + std::to_string(committed_term));
  }
  Result<ReadReply> reply = decode_read_reply(answer.head, answer.blobs);
  if (!reply) return violate("read replies decode", partition, node.text());
  auto visible = [&](const Row& row) {
    if (row.version > std::max<dht::LogIndex>(known.highest, 1)) {
      violate("nothing uncommitted is visible", partition, "version " + std::to_string(row.version));
    }
  };
  for (const ReadReply::Get& get : reply->gets) {
    if (get.found) visible(get.row);
  }
  for (const ReadReply::ScanResult& scan : reply->scans) std::for_each(scan.rows.begin(), scan.rows.end(), visible);
}

void Invariants::check_distinct(PartitionId partition, const dht::Configuration& configuration) {
  for (const auto* half : {&configuration.voters, &configuration.old_voters}) {
    std::set<Uuid> nodes;
    for (const dht::ReplicaId& replica : *half) {
      if (!nodes.insert(replica.node).second) violate("distinct replicas", partition, replica.node.text() + " twice");
    }
    for (const dht::ReplicaId& learner : configuration.learners) {
      if (half == &configuration.voters && !nodes.insert(learner.node).second) {
        violate("distinct replicas", partition, learner.node.text() + " twice");
      }
    }
  }
  if (configuration.voters.empty()) violate("distinct replicas", partition, "a configuration without voters");
}

void Invariants::on_committed_configuration(const Uuid& node, PartitionId partition, dht::LogIndex index,
                                            const dht::Configuration& configuration) {
  configuration_committed(partition, index, configuration);
  if (index == 0) partitions_[partition].filled.insert({node, 0});
}

void Invariants::configuration_proposed(PartitionId partition, dht::LogIndex index, dht::Term term,
                                        const dht::Configuration& configuration) {
  check_distinct(partition, configuration);
  Partition& known = partitions_[partition];
  if (!known.proposed.try_emplace({index, term}, configuration).second) return;
  world_.count("raft: configuration proposed");
  if (known.highest_term < term)
    violate("no two disjoint quorums", partition, at(index, term) + " before a commit in this term");
  for (const auto& [place, other] : known.proposed) {
    if (place.second == term && place.first < index && place.first > known.highest) {
      violate("no two disjoint quorums", partition,
              at(index, term) + " while " + at(place.first, term) + " is in flight");
    }
  }
}

void Invariants::configuration_committed(PartitionId partition, dht::LogIndex index,
                                         const dht::Configuration& configuration) {
  std::map<dht::LogIndex, dht::Configuration>& committed = partitions_[partition].configurations;
  auto [place, first] = committed.try_emplace(index, configuration);
  if (!first) {
    if (place->second != configuration)
      violate("committed entries never change", partition, "configuration " + std::to_string(index));
    return;
  }
  check_distinct(partition, configuration);
  if (place == committed.begin()) return;
  const dht::Configuration& before = std::prev(place)->second;
  std::set<dht::ReplicaId> old(before.voters.begin(), before.voters.end());
  const std::vector<dht::ReplicaId>& source =
      configuration.old_voters.empty() ? configuration.voters : configuration.old_voters;
  if (std::set<dht::ReplicaId>(source.begin(), source.end()) != old) {
    violate("no two disjoint quorums", partition,
            "configuration " + std::to_string(index) + " does not follow from the one before");
  }
  if (!configuration.old_voters.empty()) world_.count("raft: joint configuration committed");
}

void Invariants::check_filled(PartitionId partition, const dht::ReplicaId& replica, const char* what) {
  if (partitions_[partition].filled.contains(replica)) return;
  violate("voters hold what they count for", partition,
          replica.node.text() + " as replica " + std::to_string(replica.added) + " " + what);
}

dht::Term Invariants::highest_term(PartitionId partition) const {
  auto found = partitions_.find(partition);
  return found == partitions_.end() ? 0 : found->second.highest_term;
}

dht::LogIndex Invariants::highest_committed(PartitionId partition) const {
  auto found = partitions_.find(partition);
  return found == partitions_.end() ? 0 : found->second.highest;
}

const dht::Configuration* Invariants::newest_configuration(PartitionId partition) const {
  auto found = partitions_.find(partition);
  if (found == partitions_.end() || found->second.configurations.empty()) return nullptr;
  return &found->second.configurations.rbegin()->second;
}

std::pair<dht::Term, Uuid> Invariants::newest_leader(PartitionId partition) const {
  auto found = partitions_.find(partition);
  if (found == partitions_.end() || found->second.leaders.empty()) return {0, Uuid{}};
  return *found->second.leaders.rbegin();
}

}  // namespace ringfs::sim

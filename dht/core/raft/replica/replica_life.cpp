// Questions and answers about who is a member.
#include "dht/core/raft/replica/replica_life.hpp"

#include <utility>

#include "dht/core/raft/quorum.hpp"

namespace ringfs::dht {

void ReplicaLife::ask_later() {
  auto half = static_cast<std::uint64_t>(LifeLimits::query_timeout.count() / 2);
  query_at_ = services_.now() + LifeLimits::query_timeout + Duration(services_.random.below(half));
}

// Either there is no leader, or this replica is not a member any more and nobody tells it.
void ReplicaLife::ask() {
  ask_later();
  services_.receiving.erase(state_.partition());  // whoever sent a snapshot is silent; others may
  std::set<Uuid> others;
  const Configuration& known = state_.configuration();
  for (const auto* list : {&known.voters, &known.old_voters, &known.learners}) {
    for (const ReplicaId& replica : *list) others.insert(replica.node);
  }
  const std::vector<Uuid>& placed = services_.placement.preference_list(state_.partition());
  others.insert(placed.begin(), placed.end());
  others.erase(services_.self);
  const ReplicaQuery query{{state_.partition(), 0, state_.id().added, 0}};
  for (const Uuid& other : others) services_.out.send(other, query);
}

void ReplicaLife::receive(const Uuid& source, const ReplicaQuery& message) {
  const ReplicaId asking{source, message.raft.source_added};
  const ConfigurationAt committed = state_.log().committed_configuration();
  if (committed.configuration.voters.empty() || committed.index < asking.added) return;
  if (names(committed.configuration, asking)) return;
  services_.out.send(source, removed_message(asking, committed));
}

// A fact of the committed log; it names no term.
ReplicaRemoved ReplicaLife::removed_message(const ReplicaId& replica, const ConfigurationAt& committed) const {
  return {{state_.partition(), 0, state_.id().added, replica.added}, encode(committed.configuration), committed.index};
}

void ReplicaLife::receive(const Uuid& source, const ReplicaRemoved& message) {
  if (message.raft.destination_added != state_.id().added || state_.removed()) return;
  Result<Configuration> configuration = decode_configuration(message.configuration);
  if (!configuration) {
    state_.event("malformed_configuration", "source=" + source.text());
    return;
  }
  ConfigurationAt committed{message.configuration_index, std::move(*configuration)};
  if (!state_.excludes(committed)) return;
  retire_ = std::move(committed);
  state_.mark();
}

void ReplicaLife::committed(const ConfigurationAt& configuration) {
  if (state_.excludes(configuration)) retire_ = configuration;
}

std::optional<ConfigurationAt> ReplicaLife::take_retirement() {
  if (!retire_ || state_.log().applying()) return std::nullopt;
  std::optional<ConfigurationAt> configuration = std::exchange(retire_, std::nullopt);
  if (!state_.excludes(*configuration) && !services_.faults.drop_early) return std::nullopt;
  return configuration;
}

void ReplicaLife::tell_removed(const Configuration& before, const ConfigurationAt& committed) {
  std::set<ReplicaId> gone;
  for (const auto* list : {&before.voters, &before.old_voters, &before.learners})
    gone.insert(list->begin(), list->end());
  for (const ReplicaId& replica : gone) {
    if (replica == state_.id() || names(committed.configuration, replica)) continue;
    services_.out.send(replica.node, removed_message(replica, committed));
  }
}

}  // namespace ringfs::dht

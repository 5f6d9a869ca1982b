// How a replica learns that it is a member no longer, and tells others that they are not
// (docs/design.md#replica-identity).
//
// A replica is (node, index of the configuration entry that added it). It is over when a committed configuration
// excludes it: the own applied one, or one that another replica shows. Whoever hears of no leader for a while asks the
// others. Threads: none. Errors: a configuration that does not decode is dropped. Limits: LifeLimits.
#pragma once

#include "dht/core/raft/replica/replica_state.hpp"

namespace ringfs::dht {

struct LifeLimits {
  // Without a leader for so long: ask whether this replica still is a member. Half as much more at random.
  static constexpr Duration query_timeout = std::chrono::seconds(3);
};

class ReplicaLife {
 public:
  ReplicaLife(ReplicaState& state, GroupServices& services)
      : state_(state), services_(services), query_at_(services.now() + LifeLimits::query_timeout) {}

  // A leader was heard, or this one led until now.
  void led() { query_at_ = services_.now() + LifeLimits::query_timeout; }
  void ask_later();  // after the query timeout, drawn anew
  TimePoint deadline() const { return state_.removed() ? never : query_at_; }
  void ask();  // nobody leads this replica

  void receive(const Uuid& source, const ReplicaQuery& message);
  void receive(const Uuid& source, const ReplicaRemoved& message);

  // A configuration is committed: does it exclude this replica?
  void committed(const ConfigurationAt& configuration);
  void retire_with(ConfigurationAt configuration) { retire_ = std::move(configuration); }
  // A configuration that ends this replica, once nothing of the old data is under way any more.
  std::optional<ConfigurationAt> take_retirement();
  void forget_retirement() { retire_.reset(); }

  // As a leader: a hint that saves those who were removed the time until they ask.
  void tell_removed(const Configuration& before, const ConfigurationAt& committed);

 private:
  ReplicaRemoved removed_message(const ReplicaId& replica, const ConfigurationAt& committed) const;

  ReplicaState& state_;
  GroupServices& services_;
  TimePoint query_at_;
  std::optional<ConfigurationAt> retire_;  // committed, and excludes this replica; waits for the outstanding apply
};

}  // namespace ringfs::dht

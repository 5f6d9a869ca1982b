// What a leader knows of the other replicas of its group, and what follows from it: what a quorum has, who answers,
// who keeps up, what a majority has room for (Raft paper, section 5.3; dissertation, sections 4.2.1 and 6.4.1).
//
// One Progress for every voter and learner of the newest configuration but the leader itself. Threads: none. Errors: a
// progress that makes no sense aborts. Limits: replicas of one configuration.
#pragma once

#include <map>
#include <vector>

#include "dht/core/raft/leader/progress.hpp"
#include "dht/core/raft/replica/replica_state.hpp"

namespace ringfs::dht {

struct FollowerLimits {
  // In heartbeat intervals: without an acknowledged heartbeat for so long and a round trip a replica does not answer.
  // Its slow disk delays its answers to appends, not those to heartbeats.
  static constexpr int answer_intervals = 3;
  // A replica that lags no more than this many entries has caught up. Under load a healthy one is some entries behind.
  static constexpr LogIndex slack_entries = 256;
};

class Followers {
 public:
  using Map = std::map<ReplicaId, Progress>;

  Followers(ReplicaState& state, GroupServices& services) : state_(state), log_(state.log()), services_(services) {}

  Map& all() { return all_; }
  const Map& all() const { return all_; }
  const Progress* find(const ReplicaId& replica) const;
  // The follower that a message came from; null: of nobody known.
  Map::value_type* of_sender(const Uuid& source, LogIndex added);
  void add(const ReplicaId& replica);

  bool answering(const Progress& progress) const { return progress.acknowledged_sent_at + answer_timeout() > now(); }
  bool answers(const ReplicaId& replica) const;
  bool majority_answers(const std::vector<ReplicaId>& voters) const;
  bool quorum_answers() const;  // of the configuration: majorities of both halves while it is joint
  bool caught_up(const ReplicaId& replica, const Progress& progress) const;
  // Of the farthest one of them.
  Duration distance() const;
  Duration answer_timeout() const { return FollowerLimits::answer_intervals * services_.timing.heartbeat + distance(); }
  bool to_be_replaced(const ReplicaId& replica) const;  // damaged, or without room for what it lacks

  LogIndex quorum_match() const;
  TimePoint quorum_acknowledged_at() const;         // when the heartbeat left that a quorum has acknowledged
  std::uint64_t quorum_acknowledged_round() const;  // its number
  std::uint64_t quorum_lease_version() const;       // LeaseHolders::version that a quorum knows
  std::uint64_t lease_version() const { return lease_version_; }
  std::uint64_t raise_lease_version() { return ++lease_version_; }
  void commit();        // what a quorum has
  void evict_bodies();  // that everybody has, and those beyond the budget
  // Entries up to here are needed by no follower that answered within `timeout`.
  LogIndex needed_from(Duration timeout) const;

  Room quorum_room() const;
  bool quorum_has_room_without(const ReplicaId& replica) const;

  void ask_for_heartbeats() const;  // a round to each of them, at once
  void check(const Progress& progress) const { progress.check(log_.last_index()); }

 private:
  TimePoint now() const { return services_.now(); }
  template <class Value, class ValueOf>
  Value acknowledged_value(Value lowest, Value own, const ValueOf& value_of) const;

  ReplicaState& state_;
  ReplicatedLog& log_;
  GroupServices& services_;
  Map all_;
  std::uint64_t lease_version_ = 0;
};

}  // namespace ringfs::dht

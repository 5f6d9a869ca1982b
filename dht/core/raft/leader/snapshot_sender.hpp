// Sends the rows of the partition to followers whose entries are no longer in the log (docs/design.md#snapshots; Raft
// paper, section 7).
//
// A snapshot is sent in snapshot chunks, one at a time, each when the one before is acknowledged. The store reads them
// from one transaction, forwards only: whoever loses its place starts over with another snapshot. What is known of one
// that is under way is in the follower's Progress. Threads: none. Errors: a snapshot that fails is tried again later.
// Limits: SnapshotLimits.
#pragma once

#include "dht/core/raft/leader/followers.hpp"

namespace ringfs::dht {

struct SnapshotLimits {
  // Sent by one node at a time.
  static constexpr unsigned sending = 8;
  // Of these to learners, so that a voter that lags never waits for moves.
  static constexpr unsigned to_learners = 6;
  // Taken in by one node at a time: each has a snapshot chunk under way.
  static constexpr std::size_t receiving = 32;
  // Bytes of a snapshot chunk, for the reckoning of the pace.
  static constexpr std::size_t chunk_estimate = 512 << 10;
  // Each snapshot to a learner should send a chunk in this time: a slow pace sends fewer at once, or each would take
  // for ever.
  static constexpr Duration paced_chunk_interval = std::chrono::seconds(5);
  // Of the read transaction of a snapshot that waits for the pace: then it is renewed.
  static constexpr Duration paced_transaction_age = std::chrono::seconds(30);
  // Without an answer: the snapshot is given up.
  static constexpr Duration timeout = std::chrono::seconds(10);
  // In a row, for which a voter has no room: then it is replaced.
  static constexpr unsigned starved = 2;
};

class SnapshotSender {
 public:
  SnapshotSender(ReplicaState& state, GroupServices& services, Followers& followers)
      : state_(state), services_(services), followers_(followers) {}

  // Tries; if it cannot, the follower's not_before says when to try again.
  void start(const ReplicaId& replica, Progress& progress);
  void stop(Progress& progress);
  void interval(const ReplicaId& replica, Progress& progress);  // of one that is under way
  // The store's answer. True: rows here cannot be read.
  bool read_done(EffectId id, Result<SnapshotData> data);
  void receive(Followers::Map::value_type& follower, const SnapshotReply& message);

 private:
  TimePoint now() const { return services_.now(); }
  bool slot_free(bool learner) const;
  void try_later(Progress& progress, int intervals);
  void send_chunk(const ReplicaId& replica, Progress& progress);
  void read_next_chunk(const ReplicaId& replica, Progress& progress);
  void starved(const ReplicaId& replica, Progress& progress);

  ReplicaState& state_;
  GroupServices& services_;
  Followers& followers_;
};

}  // namespace ringfs::dht

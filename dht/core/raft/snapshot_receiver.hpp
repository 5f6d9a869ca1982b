// Takes in a snapshot from a leader: snapshot chunks are staged on the disk beside the rows that are there, and replace
// rows and log when all of them have come (docs/design.md#snapshots; Raft paper, section 7).
//
// Threads: none. Errors: a snapshot chunk that does not follow the one before is not staged; the answer says which one
// is wanted. Limits: SnapshotLimits::receiving; one snapshot a group.
#pragma once

#include "dht/core/raft/leader/commitments.hpp"
#include "dht/core/raft/replica/replica_state.hpp"

namespace ringfs::dht {

class SnapshotReceiver {
 public:
  SnapshotReceiver(ReplicaState& state, GroupServices& services, Commitments& commitments)
      : state_(state), services_(services), commitments_(commitments) {}

  // From the leader that is followed.
  void receive(const Uuid& source, const SnapshotChunk& message);
  SnapshotReply reply_to(const SnapshotChunk& message) const;

  bool receiving() const { return incoming_.has_value(); }
  // All snapshot chunks are staged: rows and log are about to be replaced. Until then nothing is appended or applied.
  bool installing() const { return incoming_ && incoming_->install; }
  // Rows and log are replaced, if all snapshot chunks are there and no apply is outstanding. True: they were.
  bool install_when_ready();

  void drop();                    // it is not needed, or its leader is gone
  void drop_unless_installing();  // its leader is of an earlier term
  void drop_for_want_of_room();
  void log_reaches(LogIndex index);  // the log has all that the snapshot would bring up to here

 private:
  struct Incoming {
    Uuid source;
    std::uint64_t number = 0;
    std::uint32_t next_chunk = 0;
    RaftHeader raft;                         // of its last chunk
    LogIndex last_index = 0;                 // of what it contains
    std::optional<InstallSnapshot> install;  // all chunks are staged; waits for the outstanding apply
  };

  bool stage(const Uuid& source, const SnapshotChunk& message);

  ReplicaState& state_;
  GroupServices& services_;
  Commitments& commitments_;
  std::optional<Incoming> incoming_;
};

}  // namespace ringfs::dht

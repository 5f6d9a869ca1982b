// How this node measures whether it is fit to lead (dht/core/raft/fitness.hpp), tells it, and finds out when a peer
// asks.
//
// Threads: none. Limits: at most one probing write at a time.
#pragma once

#include "dht/core/node/peer_identities.hpp"
#include "dht/core/raft/group.hpp"

namespace ringfs::dht {

class FitnessWatch {
 public:
  FitnessWatch(GroupServices& services, PeerIdentities& identities) : services_(services), identities_(identities) {}

  // A tick came that was due at `due`.
  void ticked(TimePoint due);
  // Once a second.
  void judge();
  // Writes something if the disk is idle: an answer shows that it can.
  void probe_disk();
  // These are about to be carried out.
  void watch_storage(Effects& effects);

 private:
  TimePoint now() const { return services_.clock.now; }
  void tell();

  GroupServices& services_;
  PeerIdentities& identities_;
  bool told_hangs_ = false, told_slow_ = false, told_late_ = false;  // by the last events
};

}  // namespace ringfs::dht

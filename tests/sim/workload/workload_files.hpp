// Mounts and janitors in the simulated world: the real file system over the real object client, where the age of things
// decides.
//
// One mount keeps files open that it has unlinked, lets files grow out of their inodes and makes directories; it is
// never killed, and looks after what it has open as mounts do. A janitor cleans every partition meanwhile; in some
// passes it is hasty: it takes garbage and half-made directories at once, so that claims alone protect what is being
// made. What must hold: a file that is open can be read, byte by byte; what was written and closed is there; a
// directory that was made can be used.
//
// Threads: one, virtual. The coroutines end soon after stop(). The file system's headers stay behind this one: fs/ and
// dht/core each have an Event.
#pragma once

#include <memory>

#include "dht/base/object_store.hpp"
#include "tests/sim/machines/world.hpp"

namespace ringfs::sim {

class FilesWorkload {
 public:
  // `unclaimed`: JanitorFaults.
  FilesWorkload(World& world, unsigned partition_bits, bool unclaimed);
  ~FilesWorkload();
  FilesWorkload(const FilesWorkload&) = delete;
  FilesWorkload& operator=(const FilesWorkload&) = delete;

  Task<void> work(ObjectStore* store);
  // Beside work(): looks after what is open, as every mount does.
  Task<void> look(ObjectStore* store);
  Task<void> clean(ObjectStore* store);
  void stop();

 private:
  class Implementation;
  std::unique_ptr<Implementation> implementation_;
};

}  // namespace ringfs::sim

// A mount and a janitor in the simulated world: the real file system over the real object client. What the janitor
// removes depends on the age of rows, so wrong clocks could make it remove too much.
//
// The mount keeps unlinked files open, lets files grow out of their inodes and makes directories. It is never killed,
// and renews its holds as mounts do. The janitor cleans every partition meanwhile. Some passes are hasty: they take
// garbage and half-made directories at once, so that claims alone protect what is being made. What must hold: a file
// that is open can be read, byte by byte; what was written and closed is there; a directory that was made can be used.
//
// Threads: one, virtual. The coroutines end soon after stop().
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
  // Beside work() and the mount's own looks: looks at open files, and notes whether their holds were renewed.
  Task<void> look(ObjectStore* store);
  Task<void> clean(ObjectStore* store);
  void stop();

 private:
  class Implementation;
  std::unique_ptr<Implementation> implementation_;
};

}  // namespace ringfs::sim

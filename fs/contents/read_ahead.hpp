// Chunks that were read ahead for sequential readers, of all files of an instance together.
//
// The chunks themselves are in their OpenInode; this class counts them. Threads: one loop. Limits: `limit`.
#pragma once

#include <cstdint>
#include <memory>

#include "fs/open_inode.hpp"

namespace ringfs::fs {

class ReadAhead {
 public:
  static constexpr std::size_t limit = 48;  // chunks: 48 MiB

  // A chunk is about to be read; its reader calls end() with the event. No event: the chunk is here or on its way, or
  // there is no room.
  std::shared_ptr<Event> begin(OpenInode& open, std::uint64_t chunk);
  // No `stored`: the chunk could not be read, or has changed since. Wakes its waiters.
  void end(OpenInode& open, std::uint64_t chunk, const std::shared_ptr<Event>& arrived,
           std::shared_ptr<const StoredChunk> stored);

  // The stored contents changed.
  void forget(OpenInode& open);
  void forget(OpenInode& open, std::uint64_t chunk);
  // A sequential reader is past them. A chunk that is still on its way stays: a reader may wait for it.
  void forget_before(OpenInode& open, std::uint64_t chunk);

 private:
  std::size_t chunks_ = 0;
};

}  // namespace ringfs::fs

// Chunks that were read ahead for sequential readers, of all files of an instance together.
//
// The chunks are kept at their OpenInode; here is what counts them. Threads: one loop. Limits: `limit`.
#pragma once

#include <cstdint>
#include <memory>

#include "fs/open_inode.hpp"

namespace ringfs::fs {

class ReadAhead {
 public:
  static constexpr std::size_t limit = 48;  // chunks: 48 MiB

  // The chunk is about to be read; who reads it calls end() with what this returns. Nothing: the chunk is here or on
  // its way, or there is no room.
  std::shared_ptr<Event> begin(OpenInode& open, std::uint64_t chunk);
  // Without `stored`: it could not be read, or has changed since. Wakes who waits for it.
  void end(OpenInode& open, std::uint64_t chunk, const std::shared_ptr<Event>& arrived,
           std::shared_ptr<const StoredChunk> stored);

  // The stored contents changed.
  void forget(OpenInode& open);
  void forget(OpenInode& open, std::uint64_t chunk);
  // A sequential reader is past them. One that is still on its way stays: who waits for it takes it.
  void forget_before(OpenInode& open, std::uint64_t chunk);

 private:
  std::size_t chunks_ = 0;
};

}  // namespace ringfs::fs

// Reading files (read.cpp): the stored bytes (inline, or blocks of chunks; missing bytes are zeros), and over them the
// bytes that wait to be written here.
//
// A random read asks for the blocks that it needs, in one round trip. For sequential readers whole chunks are read, and
// the next ones ahead (ReadAhead). Chunks that were read before a change are dropped (OpenInode::read_epoch).
// Threads: one loop. Errors: those of ObjectStore; timeout. Limits: max_read_bytes a call.
#pragma once

#include <memory>
#include <vector>

#include "fs/instance.hpp"
#include "fs/open_inodes.hpp"

namespace ringfs::fs {

// Where a handle has read, to notice sequential readers.
struct ReadPosition {
  std::uint64_t next_offset = 0;  // where a sequential reader goes on
  unsigned sequential_reads = 0;
};

class FileReader {
 public:
  FileReader(Instance& instance, OpenInodes& open_inodes)
      : instance_(instance), store_(instance.store), open_inodes_(open_inodes) {}

  // `cached`: the kernel puts the bytes into its pages. Returns fewer bytes only at the end of the file.
  Task<Result<ReadResult>> read(OpenPointer open, ReadPosition& position, bool cached, std::uint64_t offset,
                                std::size_t size, TimePoint deadline);
  // Reads the row, and the inline bytes if the contents are there, until they are known. `look`: reads in any case.
  Task<Status> know_contents(OpenPointer open, bool look, TimePoint deadline);
  // The bytes of [offset, end) in pieces without gaps, from the ring and from what waits here. After know_contents().
  Task<Result<std::vector<SharedBytes>>> read_range(OpenPointer open, std::uint64_t offset, std::uint64_t end,
                                                    bool sequential, TimePoint deadline);

 private:
  Task<Result<std::vector<Extent>>> read_stored(OpenPointer open, std::uint64_t offset, std::size_t size,
                                                bool sequential, TimePoint deadline);
  Task<Result<std::vector<Extent>>> read_from_chunk(OpenPointer open, std::uint64_t offset, std::size_t size,
                                                    bool sequential, TimePoint deadline);
  static Task<void> run_read_part(std::shared_ptr<FileReader> self, OpenPointer open, std::uint64_t offset,
                                  std::size_t size, bool sequential,
                                  std::shared_ptr<Result<std::vector<Extent>>> result, TimePoint deadline);
  Task<Result<std::shared_ptr<const StoredChunk>>> load_blocks(OpenPointer open, std::uint64_t chunk,
                                                               std::uint64_t first, std::uint64_t last,
                                                               TimePoint deadline);
  void start_read_ahead(const OpenPointer& open, std::uint64_t chunk);
  static Task<void> run_read_ahead(std::shared_ptr<FileReader> self, OpenPointer open, std::uint64_t chunk,
                                   std::shared_ptr<Event> arrived);

  Instance& instance_;
  ObjectStore& store_;
  OpenInodes& open_inodes_;
};

}  // namespace ringfs::fs

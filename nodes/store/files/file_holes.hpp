// Which free blocks of a file take no room on the disk, and how more of them become so: fallocate(2),
// FALLOC_FL_PUNCH_HOLE.
//
// Why not all at once: blocks that are taken again soon are cheaper to overwrite than to allocate, so the caller says
// how many free ones may stay. The highest go first, for BlockMap takes the lowest. What the file has for holes when it
// is opened is asked of the file system (lseek(2), SEEK_DATA). Threads: one. Errors: StoreFailure: io_error. A file
// system that cannot punch holes keeps its blocks. Limits: a bit for each block, as in BlockMap.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "nodes/store/files/block_map.hpp"

namespace ringfs::nodes {

class FileHoles {
 public:
  FileHoles(std::filesystem::path path, int descriptor, std::uint64_t block_bytes)
      : path_(std::move(path)), descriptor_(descriptor), block_bytes_(block_bytes) {}

  void find(std::uint64_t blocks);                         // those that the first `blocks` of the file have already
  void written(std::uint64_t first, std::uint64_t count);  // these are none
  void cut(std::uint64_t blocks);                          // the file has only so many now
  std::uint64_t count() const { return count_; }           // blocks that are holes

  // Makes holes of free blocks below `end`, the highest first, at most `most`. Returns how many; 0: none is left.
  std::uint64_t punch(const BlockMap& taken, std::uint64_t end, std::uint64_t most);

 private:
  bool punch_run(std::uint64_t first, std::uint64_t count);
  void mark(std::uint64_t first, std::uint64_t count);

  const std::filesystem::path path_;
  const int descriptor_;
  const std::uint64_t block_bytes_;
  std::vector<std::uint64_t> holes_;
  std::uint64_t count_ = 0;
  bool impossible_ = false;
};

}  // namespace ringfs::nodes

// Which free blocks of a file take no room on the disk, and making more of them: fallocate(2), FALLOC_FL_PUNCH_HOLE.
//
// Why not all free blocks: overwriting a block is cheaper than allocating one, and many are used again soon. So the
// caller says how many stay. The highest become holes first, because BlockMap takes the lowest. The holes of a file
// that is opened are asked of the file system: lseek(2), SEEK_DATA.
//
// Threads: one. Errors: StoreFailure: io_error. A file system that cannot punch holes keeps its blocks. Limits: a bit
// for each block, as in BlockMap.
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

  void find(std::uint64_t blocks);                         // notes the holes of the first `blocks` blocks
  void written(std::uint64_t first, std::uint64_t count);  // these are no holes any more
  void cut(std::uint64_t blocks);                          // the file was truncated to so many blocks
  std::uint64_t count() const { return count_; }           // blocks that are holes

  // Makes holes of at most `most` free blocks below `end`, the highest first. Returns how many; 0: there are none left.
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

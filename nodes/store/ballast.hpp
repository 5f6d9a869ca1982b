// A file that reserves room on the disk for the time when it is full: `ringfs.reserve`.
//
// Why: whatever frees room (unlink, compaction of logs) needs a little room first, and so does a start, which raises
// the incarnation. Room that is only counted can be taken by other users of the disk. The file is emptied when a write
// finds no space, when a node cannot start for lack of it, or when almost nothing is left. It is filled again when
// there is plenty. Its bytes mean nothing.
//
// Threads: one at a time. Errors: none; where no room can be reserved, there is no reserve. Limits: `bytes`.
#pragma once

#include <cstdint>
#include <filesystem>

namespace ringfs::nodes {

inline constexpr const char* ballast_file_name = "ringfs.reserve";

class StoreBallast {
 public:
  StoreBallast(const std::filesystem::path& directory, std::uint64_t bytes);

  std::uint64_t held_bytes() const { return held_; }
  std::uint64_t wanted_bytes() const { return bytes_; }
  bool release();  // false: nothing was held
  void hold();

 private:
  const std::filesystem::path file_;
  const std::uint64_t bytes_;
  std::uint64_t held_ = 0;
};

}  // namespace ringfs::nodes

// A file that holds room on the disk for the moment when there is none: `ringfs.reserve`.
//
// Why: what gives room back (unlink, cuts of logs) needs a little itself, and so does a node that starts, which raises
// its incarnation. Room that is only counted may be taken by others who use the same disk. The file is emptied when a
// write finds no space, when a node cannot start for want of it, or when almost nothing is left; and filled again when
// there is plenty. Its bytes mean nothing. Threads: one at a time. Errors: none: where room cannot be held there is no
// reserve. Limits: bytes as given.
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

// Which inodes the kernel knows, as far as its requests show it.
//
// An answer that names an inode counts one lookup of it in the kernel, and FORGET gives lookups back. But the kernel
// knows the inode only when the thread that waits for the answer has handled it. Until then a notification about the
// inode finds nothing (ENOENT), and the answer would count after it. So an inode is certainly known from the first
// request on that names it itself. Only then its attributes may be kept (fs/kernel_leases.hpp).
//
// Threads: the mount's loop. Limits: the inodes of the kernel's cache, some 60 bytes each; FORGET removes them.
#pragma once

#include <chrono>
#include <cstdint>
#include <unordered_map>

#include "fs/file_system.hpp"

namespace ringfs::mount {

class KnownInodes {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;
  // So long a thread may take to handle an answer (docs/posix.md).
  static constexpr auto answer_age = std::chrono::milliseconds(100);

  // An answer that the kernel took named it.
  void named(fs::InodeNumber inode, TimePoint now) {
    Inode& one = inodes_[inode];
    ++one.lookups;
    one.named = now;
  }
  // A request came for it.
  void asked(fs::InodeNumber inode) {
    const auto place = inodes_.find(inode);
    if (place != inodes_.end()) place->second.certain = true;
  }
  void forget(fs::InodeNumber inode, std::uint64_t lookups) {
    const auto place = inodes_.find(inode);
    if (place == inodes_.end()) return;
    if (place->second.lookups <= lookups)
      inodes_.erase(place);
    else
      place->second.lookups -= lookups;
  }
  bool certain(fs::InodeNumber inode) const {
    if (inode == fs::root_inode) return true;  // the kernel knows it from the beginning to the end
    const auto place = inodes_.find(inode);
    return place != inodes_.end() && place->second.certain;
  }
  // When an answer named it last; none: the kernel has forgotten it.
  std::optional<TimePoint> last_named(fs::InodeNumber inode) const {
    const auto place = inodes_.find(inode);
    return place == inodes_.end() ? std::nullopt : std::optional(place->second.named);
  }
  std::size_t size() const { return inodes_.size(); }

 private:
  struct Inode {
    std::uint64_t lookups = 0;
    TimePoint named;
    bool certain = false;
  };
  std::unordered_map<fs::InodeNumber, Inode> inodes_;
};

}  // namespace ringfs::mount

// What is mounted where: /proc/self/mountinfo (man 5 proc), read without touching any mounted file system.
//
// Threads: any. Errors: the table cannot be read (read_file).
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "dht/base/error.hpp"

namespace ringfs::mount {

struct MountEntry {
  std::string device;  // "major:minor"
  std::string mount_point;
  std::string type;  // "fuse.ringfs"
  std::string source;
};

inline constexpr std::string_view ringfs_mount_type = "fuse.ringfs";

std::vector<MountEntry> parse_mount_table(std::string_view text);
Result<std::vector<MountEntry>> read_mount_table();
// The uppermost mount at exactly this path.
Result<std::optional<MountEntry>> mount_at(const std::string& path);
// The RingFS mount that a path lies in: the one with the longest path.
Result<std::optional<MountEntry>> ringfs_mount_of(const std::string& path);

}  // namespace ringfs::mount

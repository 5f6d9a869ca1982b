// What `-o` of `ringfs mount` means.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "dht/base/error.hpp"
#include "dht/base/settings.hpp"

namespace ringfs {

struct MountOptions {
  std::string mount_point;  // absolute
  bool allow_other = false;
  bool read_only = false;
  bool show_ring = false;     // list .ring in the root
  bool synchronous = false;   // every write is durable when it returns
  double cached_seconds = 0;  // how long the kernel may keep names and attributes
  std::optional<unsigned> operation_timeout_seconds;  // otherwise that of the ring (dht/base/settings.hpp)

  // As libfuse wants them, "-o" included.
  std::vector<std::string> fuse_arguments() const;
};

// "allow_other,cached=1,..." into `options`. Errors: invalid_argument naming the word.
Status apply_mount_options(const std::string& text, MountOptions& options);

}  // namespace ringfs

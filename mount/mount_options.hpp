// What `-o` of `ringfs mount` means.
#pragma once

#include <string>
#include <vector>

#include "dht/base/error.hpp"

namespace ringfs {

// A change that the ring has not carried out a minute after it was sent is never carried out (max_batch_life): a longer
// limit would only be waited for.
inline constexpr int max_operation_timeout_seconds = 50;

struct MountOptions {
  std::string mount_point;  // absolute
  bool allow_other = false;
  bool read_only = false;
  bool show_ring = false;     // list .ring in the root
  double cached_seconds = 0;  // how long the kernel may keep names and attributes
  int operation_timeout_seconds = 30;

  // As libfuse wants them, "-o" included.
  std::vector<std::string> fuse_arguments() const;
};

// "allow_other,cached=1,..." into `options`. Errors: invalid_argument naming the word.
Status apply_mount_options(const std::string& text, MountOptions& options);

}  // namespace ringfs

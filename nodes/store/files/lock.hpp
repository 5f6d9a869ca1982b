// One process for each data directory: flock(2) on the file `lock`, which has the holder's process id in it.
//
// Threads: none of its own. Errors: overloaded ("directory in use by process N"), io_error, no_space. The lock ends
// with the process, however that ends; the file stays.
#pragma once

#include <filesystem>

#include "dht/base/descriptor.hpp"
#include "dht/base/error.hpp"

namespace ringfs::nodes {

class DirectoryLock {
 public:
  static Result<DirectoryLock> acquire(const std::filesystem::path& directory);

 private:
  explicit DirectoryLock(Descriptor file) : file_(std::move(file)) {}
  Descriptor file_;
};

// Creates the directory (mode 0700) and its parents if they do not exist, durably. Errors: invalid_argument, io_error,
// no_space.
Status make_directory(const std::filesystem::path& directory);
Status sync_directory(const std::filesystem::path& directory);

}  // namespace ringfs::nodes

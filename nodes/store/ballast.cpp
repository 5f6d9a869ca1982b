// The reserve as a file of zeros: posix_fallocate(3) and truncate(2).
#include "nodes/store/ballast.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dht/base/descriptor.hpp"

namespace ringfs::nodes {

StoreBallast::StoreBallast(const std::filesystem::path& directory, std::uint64_t bytes)
    : file_(directory / ballast_file_name), bytes_(bytes) {
  struct stat status {};
  if (stat(file_.c_str(), &status) == 0) held_ = static_cast<std::uint64_t>(status.st_blocks) * 512;
}

bool StoreBallast::release() {
  if (held_ == 0) return false;
  held_ = 0;
  return truncate(file_.c_str(), 0) == 0;
}

void StoreBallast::hold() {
  if (bytes_ == 0 || held_ >= bytes_) return;
  Descriptor file(open(file_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (file.value < 0) return;
  if (posix_fallocate(file.value, 0, static_cast<off_t>(bytes_)) == 0)
    held_ = bytes_;
  else
    static_cast<void>(ftruncate(file.value, 0) == 0);  // a part of it is of no use
}

}  // namespace ringfs::nodes

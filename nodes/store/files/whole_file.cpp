// write(2), fsync(2), rename(2), and the directory.
#include "nodes/store/files/whole_file.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "dht/base/descriptor.hpp"
#include "nodes/store/files/failure.hpp"
#include "nodes/store/files/lock.hpp"

namespace ringfs::nodes {

void write_whole_file(const std::filesystem::path& file, std::string_view bytes) {
  const std::filesystem::path fresh = file.string() + "-new";
  {
    Descriptor descriptor(open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    if (descriptor.value < 0) file_failed(fresh, errno);
    while (!bytes.empty()) {
      const ssize_t written = ::write(descriptor.value, bytes.data(), bytes.size());
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) file_failed(fresh, errno);
      bytes.remove_prefix(static_cast<std::size_t>(written));
    }
    if (fsync(descriptor.value) != 0) file_failed(fresh, errno);
  }
  if (rename(fresh.c_str(), file.c_str()) != 0) file_failed(file, errno);
  or_throw(sync_directory(file.parent_path()));
}

}  // namespace ringfs::nodes

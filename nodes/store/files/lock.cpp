// The lock of a data directory, and creating and syncing directories.
#include "nodes/store/files/lock.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace ringfs::nodes {

namespace {

tl::unexpected<Error> system_failure(const std::filesystem::path& path, int error) {
  return fail(error == ENOSPC ? ErrorCode::no_space : ErrorCode::io_error, path.string() + ": " + std::strerror(error));
}

}  // namespace

Result<DirectoryLock> DirectoryLock::acquire(const std::filesystem::path& directory) {
  std::filesystem::path file = directory / "lock";
  Descriptor descriptor(open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (descriptor.value < 0) return system_failure(file, errno);
  if (flock(descriptor.value, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return system_failure(file, errno);
    std::array<char, 32> text{};
    ssize_t count = pread(descriptor.value, text.data(), text.size() - 1, 0);
    std::string holder(text.data(), count > 0 ? static_cast<std::size_t>(count) : 0);
    holder.erase(holder.find_last_not_of(" \n") + 1);
    return fail(ErrorCode::overloaded,
                directory.string() + ": directory in use by process " + (holder.empty() ? "unknown" : holder));
  }
  std::string pid = std::to_string(getpid()) + "\n";
  // Only for the message above, so a full disk does not prevent the start.
  bool recorded = ftruncate(descriptor.value, 0) == 0 && pwrite(descriptor.value, pid.data(), pid.size(), 0) >= 0;
  if (!recorded && errno != ENOSPC) return system_failure(file, errno);
  return DirectoryLock(std::move(descriptor));
}

Status sync_directory(const std::filesystem::path& directory) {
  const Descriptor descriptor(open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (descriptor.value < 0 || fsync(descriptor.value) != 0) return system_failure(directory, errno);
  return {};
}

Status make_directory(const std::filesystem::path& directory) {
  if (directory.empty()) return fail(ErrorCode::invalid_argument, "no data directory given");
  std::error_code error;
  auto status = std::filesystem::status(directory, error);
  if (std::filesystem::is_directory(status)) return {};
  if (std::filesystem::exists(status))
    return fail(ErrorCode::invalid_argument, directory.string() + " is not a directory");
  std::filesystem::path whole = std::filesystem::absolute(directory, error);
  if (error) return fail(ErrorCode::io_error, directory.string() + ": " + error.message());
  if (whole.filename().empty()) whole = whole.parent_path();  // there was a trailing slash
  std::filesystem::path parent = whole.parent_path();
  if (parent != whole) {
    if (Status made = make_directory(parent); !made) return made;
  }
  if (mkdir(whole.c_str(), 0700) != 0 && errno != EEXIST) return system_failure(whole, errno);
  return sync_directory(parent);
}

}  // namespace ringfs::nodes

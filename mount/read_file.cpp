#include "mount/read_file.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace ringfs {

Result<std::string> read_file(const std::filesystem::path& path) {
  const auto failed = [&path](int error) {
    const ErrorCode code = error == ENOENT ? ErrorCode::not_found : ErrorCode::io_error;
    return fail(code, "cannot read " + path.string() + ": " + std::strerror(error));
  };
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return failed(errno);
  std::string text;
  char buffer[16384];
  for (;;) {
    const ssize_t count = ::read(descriptor, buffer, sizeof buffer);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) {
      const int error = errno;
      ::close(descriptor);
      return failed(error);
    }
    if (count == 0) break;
    text.append(buffer, static_cast<std::size_t>(count));
  }
  ::close(descriptor);
  return text;
}

}  // namespace ringfs

// Reading a file to its end with read(2).
#include "dht/base/read_file.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "dht/base/descriptor.hpp"

namespace ringfs {

Result<std::string> read_file(const std::filesystem::path& path) {
  const auto failed = [&path](int error) {
    const ErrorCode code = error == ENOENT ? ErrorCode::not_found : ErrorCode::io_error;
    return fail(code, "cannot read " + path.string() + ": " + std::strerror(error));
  };
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.value < 0) return failed(errno);
  std::string text;
  char buffer[16384];
  for (;;) {
    const ssize_t count = ::read(file.value, buffer, sizeof buffer);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return failed(errno);
    if (count == 0) return text;
    text.append(buffer, static_cast<std::size_t>(count));
  }
}

}  // namespace ringfs

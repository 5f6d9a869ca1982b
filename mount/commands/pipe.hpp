// A pipe (man 2 pipe) whose ends close themselves. Threads: any.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <optional>

#include "dht/base/descriptor.hpp"

namespace ringfs::mount {

struct Pipe {
  Descriptor reading;
  Descriptor writing;
};

// Nothing: errno says why.
inline std::optional<Pipe> make_pipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return std::nullopt;
  return Pipe{Descriptor(ends[0]), Descriptor(ends[1])};
}

// Before its owner goes.
inline void close_now(Descriptor& descriptor) { const Descriptor closing(std::move(descriptor)); }

}  // namespace ringfs::mount

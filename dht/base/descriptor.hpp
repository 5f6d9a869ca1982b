// A file descriptor that is closed with its owner. Threads: any.
#pragma once

#include <unistd.h>

namespace ringfs {

struct Descriptor {
  explicit Descriptor(int number) : value(number) {}
  ~Descriptor() {
    if (value >= 0) close(value);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  const int value;
};

}  // namespace ringfs

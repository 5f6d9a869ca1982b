// A file descriptor that is closed with its owner. Threads: any.
#pragma once

#include <unistd.h>

#include <utility>

namespace ringfs {

struct Descriptor {
  explicit Descriptor(int number) : value(number) {}
  Descriptor(Descriptor&& other) noexcept : value(std::exchange(other.value, -1)) {}
  ~Descriptor() {
    if (value >= 0) close(value);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int value;  // below zero: none
};

}  // namespace ringfs

// Reads of `.ring` that last until something happens: `wait` and `events` (docs/control-files.md).
//
// The signal that interrupts a waiting request cancels its coroutine (`total`). The request then ends with
// `interrupted` after its current question to the ring. Threads as FileSystem. Errors: overloaded beyond max_waiters at
// a time; those of RingView if the ring does not answer for a whole operation_timeout.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "dht/base/object_store.hpp"
#include "dht/base/ring/ring_view.hpp"

namespace ringfs::fs {

// The text of one open of `events`. It grows at its end. When it is long, what was read is dropped.
struct EventStream {
  std::string text;
  std::uint64_t start = 0;  // offset of text's first byte in the file
  EventCursor seen;
  bool follows = true;  // at the end of the known events it waits for the next one
};

class RingWatch {
 public:
  static constexpr std::size_t max_waiters = 64;            // each holds a request of the mount
  static constexpr std::size_t max_stream_bytes = 1 << 20;  // of one stream's text that was read already
  static constexpr Duration wait_poll = std::chrono::milliseconds(200);
  static constexpr Duration event_poll = std::chrono::milliseconds(500);

  RingWatch(RingView& ring, ObjectStore& store, Duration operation_timeout)
      : ring_(ring), store_(store), operation_timeout_(operation_timeout) {}

  void set_operation_timeout(Duration timeout) { operation_timeout_ = timeout; }

  // Waits until no data is moving.
  Task<Status> until_still();
  // At most `size` bytes from `offset`. At the end of the text it waits for more; behind the end it returns nothing.
  // Errors: also invalid_argument, for text that was dropped.
  Task<Result<std::string>> read(std::shared_ptr<EventStream> stream, std::uint64_t offset, std::size_t size);

 private:
  Task<Status> pause(Duration duration);
  TimePoint deadline() const { return store_.clock().now + operation_timeout_; }

  RingView& ring_;
  ObjectStore& store_;
  Duration operation_timeout_;
  std::size_t waiters_ = 0;
};

}  // namespace ringfs::fs

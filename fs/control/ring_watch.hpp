// Reads of `.ring` that last until something happens: `wait` and `events` (docs/control-files.md).
//
// A request that waits is cancelled (`total`) by the signal that interrupts it and then ends with `interrupted`, at the
// next look at the ring, which is soon. Threads as FileSystem. Errors: overloaded beyond max_waiters at a time; those
// of RingView once the ring could not be asked for a whole operation_timeout.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "dht/base/object_store.hpp"
#include "dht/base/ring_view.hpp"

namespace ringfs::fs {

// What one open of `events` gives: a text that grows at its end and, when it is long, loses what was read.
struct EventStream {
  std::string text;
  std::uint64_t start = 0;  // offset of text's first byte in the file
  EventCursor seen;
  bool follows = true;  // waits for the next event at the end of the known ones
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

  // Until no data is moving.
  Task<Status> until_still();
  // At most `size` bytes from `offset`: at the end of what is known not before there is more. Nothing behind the end.
  // Errors: also invalid_argument, for what was dropped.
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

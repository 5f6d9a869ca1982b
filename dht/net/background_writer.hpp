// Writes lines on a thread of its own, so that a log file on a slow or hung disk never holds up whoever logs.
//
// write(2) to a file waits when the disk does not take what is dirty; on a node's loop that would stop heartbeats and leases of every group. What
// waits here is bounded: beyond max_waiting_log_bytes the oldest lines go, and a line says how many.
// Threads: add() and drained_within() any; `write` is called on the thread. Errors: none. The end waits for what is left, but not for ever: then
// the thread is left to its write.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace ringfs {

inline constexpr std::size_t max_waiting_log_bytes = 1 << 20;  // some 8,000 lines: minutes of a node that is in trouble
inline constexpr auto log_end_patience = std::chrono::seconds(2);

class BackgroundWriter {
 public:
  using Write = std::function<void(std::string_view line)>;

  explicit BackgroundWriter(Write write);
  ~BackgroundWriter();
  BackgroundWriter(const BackgroundWriter&) = delete;
  BackgroundWriter& operator=(const BackgroundWriter&) = delete;

  void add(std::string line);
  // Until everything that was added is written; false: not yet. For lines that may be the last ones of a process.
  bool drained_within(std::chrono::milliseconds limit);

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace ringfs

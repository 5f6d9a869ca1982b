#include "dht/net/background_writer.hpp"

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

namespace ringfs {

// Shared with the thread, which may be left behind in a write that does not return.
struct BackgroundWriter::State {
  explicit State(Write how) : write(std::move(how)) {}

  const Write write;
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<std::string> lines;
  std::size_t bytes = 0;  // of the lines
  std::size_t lost = 0;
  bool writing = false, ending = false, ended = false;

  bool is_drained() const { return lines.empty() && lost == 0 && !writing; }

  static void run(const std::shared_ptr<State>& state) {
    std::unique_lock lock(state->mutex);
    for (;;) {
      state->changed.wait(lock, [&] { return state->ending || !state->lines.empty(); });
      if (state->lines.empty()) break;
      std::deque<std::string> lines;
      lines.swap(state->lines);
      if (state->lost > 0) lines.push_front("level=warning event=log_lines_lost count=" + std::to_string(state->lost) + "\n");
      state->bytes = state->lost = 0;
      state->writing = true;
      lock.unlock();
      for (const std::string& line : lines) state->write(line);
      lock.lock();
      state->writing = false;
      state->changed.notify_all();
    }
    state->ended = true;
    state->changed.notify_all();
  }
};

BackgroundWriter::BackgroundWriter(Write write) : state_(std::make_shared<State>(std::move(write))) {
  std::thread([state = state_] { State::run(state); }).detach();
}

BackgroundWriter::~BackgroundWriter() {
  std::unique_lock lock(state_->mutex);
  state_->ending = true;
  state_->changed.notify_all();
  state_->changed.wait_for(lock, log_end_patience, [this] { return state_->ended; });
}

void BackgroundWriter::add(std::string line) {
  const std::lock_guard lock(state_->mutex);
  state_->bytes += line.size();
  state_->lines.push_back(std::move(line));
  while (state_->bytes > max_waiting_log_bytes && state_->lines.size() > 1) {
    state_->bytes -= state_->lines.front().size();
    state_->lines.pop_front();
    ++state_->lost;
  }
  state_->changed.notify_all();
}

bool BackgroundWriter::drained_within(std::chrono::milliseconds limit) {
  std::unique_lock lock(state_->mutex);
  return state_->changed.wait_for(lock, limit, [this] { return state_->is_drained(); });
}

}  // namespace ringfs

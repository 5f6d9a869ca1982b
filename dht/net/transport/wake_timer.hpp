// One timer that calls back at the earliest of the times it was asked for. Moving the time back and forth costs
// nothing: it fires, finds nothing due and is set again. Threads: one loop.
#pragma once

#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <memory>

#include "dht/base/time.hpp"
#include "dht/net/transport/system_clock.hpp"

namespace ringfs::dht {

class WakeTimer {
 public:
  // `due` is called when wanted() may have come; it asks again with wake_at().
  WakeTimer(const boost::asio::any_io_executor& executor, std::function<void()> due)
      : state_(std::make_shared<State>(executor, std::move(due))) {}
  ~WakeTimer() { stop(); }
  WakeTimer(const WakeTimer&) = delete;
  WakeTimer& operator=(const WakeTimer&) = delete;

  void wake_at(TimePoint time) {
    if (time >= state_->armed || !state_->due) return;
    state_->armed = time;
    // The steady clock stands still during suspend and RingClock does not: after one, this fires late, never wrongly.
    Duration wait = std::max(Duration(0), time - boot_time());
    state_->timer.expires_after(wait);
    state_->timer.async_wait([state = state_](boost::system::error_code error) {
      if (error || !state->due) return;
      state->armed = never;
      state->due();
    });
  }

  void stop() {
    state_->due = nullptr;
    state_->timer.cancel();
  }

 private:
  struct State {
    State(const boost::asio::any_io_executor& executor, std::function<void()> callback)
        : timer(executor), due(std::move(callback)) {}
    boost::asio::steady_timer timer;
    std::function<void()> due;
    TimePoint armed = never;
  };
  std::shared_ptr<State> state_;  // shared with the wait, which may come back after this is gone
};

}  // namespace ringfs::dht

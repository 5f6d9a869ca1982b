// Events, mutexes and task groups over Asio timers.
#include "fs/async.hpp"

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace ringfs::fs {

namespace {

// Asio's timers count nanoseconds in 64 bits. A longer wait is no limit in practice.
constexpr Duration longest_wait = std::chrono::hours(24);

using SteadyTime = std::chrono::steady_clock::time_point;

SteadyTime end_after(Duration limit) {
  return std::chrono::steady_clock::now() + std::clamp(limit, Duration::zero(), longest_wait);
}

Duration until(SteadyTime end) { return std::chrono::duration_cast<Duration>(end - std::chrono::steady_clock::now()); }

}  // namespace

void Event::notify() {
  for (Waiter* waiter : state_->waiters) {
    waiter->notified = true;
    waiter->timer.cancel();
  }
  state_->waiters.clear();
}

Task<bool> Event::wait(Duration limit) { return wait_on(state_, limit); }

Task<bool> Event::wait_on(std::shared_ptr<State> state, Duration limit) {
  Waiter waiter{boost::asio::steady_timer(co_await boost::asio::this_coro::executor)};
  waiter.timer.expires_after(std::clamp(limit, Duration::zero(), longest_wait));
  struct Registration {
    State& state;
    Waiter* waiter;
    ~Registration() { state.waiters.remove(waiter); }
  };
  state->waiters.push_back(&waiter);
  Registration registration{*state, &waiter};
  boost::system::error_code ignored;  // `notified` says why the wait ended
  auto token = boost::asio::redirect_error(boost::asio::use_awaitable, ignored);
  co_await waiter.timer.async_wait(token);
  co_return waiter.notified;
}

Lock& Lock::operator=(Lock&& other) noexcept {
  if (this != &other) {
    unlock();
    state_ = std::move(other.state_);
  }
  return *this;
}

void Lock::unlock() {
  if (!state_) return;
  std::shared_ptr<State> state = std::move(state_);
  state->locked = false;
  state->released.notify();
}

Task<Lock> Mutex::lock_on(std::shared_ptr<Lock::State> state, Duration limit) {
  const SteadyTime end = end_after(limit);  // one for all turns: other coroutines may get the lock each time
  while (state->locked) {
    bool notified = co_await state->released.wait(until(end));
    if (!notified && state->locked) co_return Lock();
  }
  state->locked = true;
  co_return Lock(state);
}

void TaskGroup::spawn(boost::asio::any_io_executor executor, Task<void> task) {
  ++state_->running;
  boost::asio::co_spawn(executor, std::move(task), [state = state_](std::exception_ptr error) {
    --state->running;
    if (error && !state->error) state->error = error;
    state->ended.notify();
  });
}

Task<void> TaskGroup::wait_on(std::shared_ptr<State> state, std::size_t limit) {
  // The tasks have deadlines of their own; this limit only has to be longer.
  while (state->running >= limit) co_await state->ended.wait(longest_wait);
  if (state->error) std::rethrow_exception(std::exchange(state->error, nullptr));
}

Task<bool> TaskGroup::wait_within(std::shared_ptr<State> state, Duration limit) {
  const SteadyTime end = end_after(limit);
  while (state->running > 0) {
    bool notified = co_await state->ended.wait(until(end));
    if (!notified && state->running > 0) co_return false;
  }
  co_return true;
}

}  // namespace ringfs::fs

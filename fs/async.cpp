// Events, mutexes and task groups: a waiter is a timer that never expires, and the store's sleep is its limit.
#include "fs/async.hpp"

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/experimental/parallel_group.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <utility>

namespace ringfs::fs {

namespace {

// Timers count nanoseconds in 64 bits. A longer wait is no limit in practice.
constexpr Duration longest_wait = std::chrono::hours(24);

}  // namespace

void Event::notify() {
  for (Waiter* waiter : state_->waiters) {
    waiter->notified = true;
    waiter->timer.cancel();
  }
  state_->waiters.clear();
}

// Among the waiters while it lives.
class Event::Registration {
 public:
  Registration(std::shared_ptr<State> state, const boost::asio::any_io_executor& executor)
      : state_(std::move(state)),
        waiter_{boost::asio::steady_timer(executor, boost::asio::steady_timer::time_point::max())} {
    state_->waiters.push_back(&waiter_);
  }
  ~Registration() { state_->waiters.remove(&waiter_); }
  Registration(const Registration&) = delete;
  Registration& operator=(const Registration&) = delete;
  Waiter& waiter() { return waiter_; }

 private:
  const std::shared_ptr<State> state_;
  Waiter waiter_;
};

Task<void> Event::wait() { return wait_on(state_); }

Task<bool> Event::wait(ObjectStore& store, TimePoint deadline) { return wait_until(state_, &store, deadline); }

Task<void> Event::wait_on(std::shared_ptr<State> state) {
  Registration registration(std::move(state), co_await boost::asio::this_coro::executor);
  boost::system::error_code ignored;  // of the cancelled timer
  auto token = boost::asio::redirect_error(boost::asio::use_awaitable, ignored);
  co_await registration.waiter().timer.async_wait(token);
}

Task<bool> Event::wait_until(std::shared_ptr<State> state, ObjectStore* store, TimePoint deadline) {
  const Duration limit = std::clamp(deadline - store->clock().now, Duration::zero(), longest_wait);
  boost::asio::any_io_executor executor = co_await boost::asio::this_coro::executor;
  Registration registration(std::move(state), executor);
  // Whichever ends first cancels the other. `notified` says why the wait ended.
  auto notified = registration.waiter().timer.async_wait(boost::asio::deferred);
  auto late = boost::asio::co_spawn(executor, store->sleep_beside(limit), boost::asio::deferred);
  co_await boost::asio::experimental::make_parallel_group(notified, std::move(late))
      .async_wait(boost::asio::experimental::wait_for_one(), boost::asio::use_awaitable);
  co_return registration.waiter().notified;
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

Task<Lock> Mutex::lock_on(std::shared_ptr<Lock::State> state, ObjectStore* store, TimePoint deadline) {
  // One deadline for all turns: other coroutines may get the lock each time.
  while (state->locked) {
    bool notified = co_await state->released.wait(*store, deadline);
    if (!notified && state->locked) co_return Lock();
  }
  state->locked = true;
  co_return Lock(state);
}

void TaskGroup::spawn(const boost::asio::any_io_executor& executor, Task<void> task) {
  ++state_->running;
  boost::asio::co_spawn(executor, std::move(task), [state = state_](const std::exception_ptr& error) {
    --state->running;
    if (error && !state->error) state->error = error;
    state->ended.notify();
  });
}

Task<void> TaskGroup::wait_on(std::shared_ptr<State> state, std::size_t limit) {
  // The tasks have deadlines of their own.
  while (state->running >= limit) co_await state->ended.wait();
  if (state->error) std::rethrow_exception(std::exchange(state->error, nullptr));
}

Task<bool> TaskGroup::wait_within(std::shared_ptr<State> state, ObjectStore* store, TimePoint deadline) {
  while (state->running > 0) {
    bool notified = co_await state->ended.wait(*store, deadline);
    if (!notified && state->running > 0) co_return false;
  }
  co_return true;
}

}  // namespace ringfs::fs

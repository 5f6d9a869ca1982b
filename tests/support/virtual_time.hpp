// Virtual time on a real Asio loop: sleeps take no time at all, yet everything happens in the order of its time.
//
// run() drives a coroutine to its end: while handlers are ready they run; when none is, time jumps to the next sleeper.
// A coroutine that waits for something that never comes fails the run instead of hanging it. Threads: one.
#pragma once

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>

#include "dht/base/task.hpp"
#include "dht/base/time.hpp"

namespace ringfs {

// A call that was begun, and is not waited for.
template <class T>
class Begun {
 public:
  bool ended() const { return result_->has_value(); }
  // Throws before it has ended.
  const T& result() const { return result_->value(); }

 private:
  friend class VirtualTime;
  std::shared_ptr<std::optional<T>> result_ =
      std::make_shared<std::optional<T>>();  // the call may outlive the test's interest in it
};

class VirtualTime {
 public:
  explicit VirtualTime(boost::asio::io_context& loop) : loop_(loop) {}

  Clock clock() const { return clock_; }
  boost::asio::io_context& loop() { return loop_; }

  Task<void> sleep(Duration duration) {
    auto timer = std::make_shared<boost::asio::steady_timer>(loop_, boost::asio::steady_timer::time_point::max());
    sleepers_.emplace(clock_.now + duration, timer);
    boost::system::error_code ignored;  // cancel() wakes the sleeper
    co_await timer->async_wait(boost::asio::redirect_error(boost::asio::use_awaitable, ignored));
  }

  // Time passes; sleepers whose time comes wake, in order, each before the next.
  void advance(Duration duration) {
    const TimePoint end = clock_.now + duration;
    while (!sleepers_.empty() && sleepers_.begin()->first <= end) wake_next();
    move_to(end);
  }

  // Handlers that are ready, and those that they make ready.
  void settle() {
    loop_.restart();
    loop_.poll();
  }

  // Runs until no handler is ready and no sleeper is left.
  void run_until_idle() {
    settle();
    while (!sleepers_.empty()) wake_next();
  }

  // Begins the call; it goes as far as it gets without time passing.
  template <class T>
  Begun<T> begin(Task<T> task) {
    Begun<T> begun;
    boost::asio::co_spawn(loop_, std::move(task), [result = begun.result_](std::exception_ptr failure, T value) {
      if (failure) std::rethrow_exception(failure);
      *result = std::move(value);
    });
    settle();
    return begun;
  }

  template <class T>
  T run(Task<T> task) {
    std::optional<T> result;
    std::exception_ptr error;
    boost::asio::co_spawn(loop_, std::move(task), [&](std::exception_ptr failure, T value) {
      error = failure;
      result = std::move(value);
    });
    settle();
    while (!result && !sleepers_.empty()) wake_next();
    if (error) std::rethrow_exception(error);
    if (!result) throw std::runtime_error("the coroutine waits for something that never comes");
    return std::move(*result);
  }

  void run(Task<void> task) {
    bool done = false;
    std::exception_ptr error;
    boost::asio::co_spawn(loop_, std::move(task), [&](std::exception_ptr failure) {
      error = failure;
      done = true;
    });
    settle();
    while (!done && !sleepers_.empty()) wake_next();
    if (error) std::rethrow_exception(error);
    if (!done) throw std::runtime_error("the coroutine waits for something that never comes");
  }

 private:
  void wake_next() {
    auto first = sleepers_.begin();
    move_to(first->first);
    std::shared_ptr<boost::asio::steady_timer> timer = first->second;
    sleepers_.erase(first);
    timer->cancel();
    settle();
  }

  void move_to(TimePoint now) {
    if (now <= clock_.now) return;
    clock_.stamp = clock_.stamp + (now - clock_.now);
    clock_.now = now;
  }

  boost::asio::io_context& loop_;
  Clock clock_{TimePoint(std::chrono::hours(1)), Stamp{1'700'000'000'000'000}};
  std::multimap<TimePoint, std::shared_ptr<boost::asio::steady_timer>> sleepers_;
};

}  // namespace ringfs

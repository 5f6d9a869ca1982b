// Waiting inside one loop: an event, a mutex across awaits, and groups of coroutines that can be joined.
//
// Every wait takes a limit, so that no call outlives its deadline. notify() ends a wait; the timer only bounds it. The
// waiters share the state, so an object may be destroyed while a coroutine waits for it. Threads: one loop. Errors:
// waits return false when the limit passed.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <exception>
#include <list>
#include <memory>

#include "dht/base/task.hpp"
#include "dht/base/time.hpp"

namespace ringfs::fs {

class Event {
 public:
  Event() : state_(std::make_shared<State>()) {}
  // Wakes all who wait now.
  void notify();
  // Waits for the next notify(). False: the limit passed.
  Task<bool> wait(Duration limit);

 private:
  struct Waiter {
    boost::asio::steady_timer timer;
    bool notified = false;
  };
  struct State {
    std::list<Waiter*> waiters;
  };
  static Task<bool> wait_on(std::shared_ptr<State> state, Duration limit);
  std::shared_ptr<State> state_;
};

// Unlocks when destroyed. Empty: not locked.
class Lock {
 public:
  struct State {
    bool locked = false;
    Event released;
  };
  Lock() = default;
  explicit Lock(std::shared_ptr<State> state) : state_(std::move(state)) {}
  Lock(Lock&&) = default;
  Lock& operator=(Lock&& other) noexcept;
  ~Lock() { unlock(); }
  void unlock();
  explicit operator bool() const { return state_ != nullptr; }

 private:
  std::shared_ptr<State> state_;
};

class Mutex {
 public:
  Mutex() : state_(std::make_shared<Lock::State>()) {}
  bool locked() const { return state_->locked; }
  // An empty Lock when the limit passed.
  Task<Lock> lock(Duration limit) { return lock_on(state_, limit); }

 private:
  static Task<Lock> lock_on(std::shared_ptr<Lock::State> state, Duration limit);
  std::shared_ptr<Lock::State> state_;
};

// Coroutines that run beside their creator. What they use must be shared, or must outlive join().
class TaskGroup {
 public:
  TaskGroup() : state_(std::make_shared<State>()) {}
  void spawn(boost::asio::any_io_executor executor, Task<void> task);
  std::size_t running() const { return state_->running; }
  // Waits until fewer than `limit` run. Rethrows the first exception that one of them threw.
  Task<void> wait_below(std::size_t limit) { return wait_on(state_, limit); }
  Task<void> join() { return wait_on(state_, 1); }
  // Waits for all, at most `limit`. False: some still run.
  Task<bool> join_within(Duration limit) { return wait_within(state_, limit); }

 private:
  struct State {
    std::size_t running = 0;
    Event ended;
    std::exception_ptr error;
  };
  static Task<void> wait_on(std::shared_ptr<State> state, std::size_t limit);
  static Task<bool> wait_within(std::shared_ptr<State> state, Duration limit);
  std::shared_ptr<State> state_;
};

}  // namespace ringfs::fs

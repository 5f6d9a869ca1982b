// Waiting inside one loop: an event, a mutex across awaits, and groups of coroutines that can be joined.
//
// Every wait takes a deadline, so that no call outlives its own; only waits for a group's tasks, which have deadlines
// themselves, can do without. Deadlines are in the time of the store, so that a simulated store's time is the only one.
// The waiters share the state, so an object may be destroyed while a coroutine waits for it; the store must outlive the
// wait. Threads: one loop. Errors: waits return false when the deadline passed.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <exception>
#include <list>
#include <memory>

#include "dht/base/object_store.hpp"
#include "dht/base/task.hpp"
#include "dht/base/time.hpp"

namespace ringfs::fs {

class Event {
 public:
  Event() : state_(std::make_shared<State>()) {}
  // Wakes all who wait now.
  void notify();
  // Waits for the next notify().
  Task<void> wait();
  // False: the deadline passed before.
  Task<bool> wait(ObjectStore& store, TimePoint deadline);

 private:
  struct Waiter {
    boost::asio::steady_timer timer;  // never expires; cancelled by notify()
    bool notified = false;
  };
  struct State {
    std::list<Waiter*> waiters;
  };
  class Registration;
  static Task<void> wait_on(std::shared_ptr<State> state);
  static Task<bool> wait_until(std::shared_ptr<State> state, ObjectStore* store, TimePoint deadline);
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
  // An empty Lock when the deadline passed.
  Task<Lock> lock(ObjectStore& store, TimePoint deadline) { return lock_on(state_, &store, deadline); }

 private:
  static Task<Lock> lock_on(std::shared_ptr<Lock::State> state, ObjectStore* store, TimePoint deadline);
  std::shared_ptr<Lock::State> state_;
};

// Coroutines that run beside their creator. What they use must be shared, or must outlive join().
class TaskGroup {
 public:
  TaskGroup() : state_(std::make_shared<State>()) {}
  void spawn(const boost::asio::any_io_executor& executor, Task<void> task);
  std::size_t running() const { return state_->running; }
  // Waits until fewer than `limit` run. Rethrows the first exception that one of them threw.
  Task<void> wait_below(std::size_t limit) { return wait_on(state_, limit); }
  Task<void> join() { return wait_on(state_, 1); }
  // Waits for all until the deadline. False: some still run.
  Task<bool> join_within(ObjectStore& store, TimePoint deadline) { return wait_within(state_, &store, deadline); }

 private:
  struct State {
    std::size_t running = 0;
    Event ended;
    std::exception_ptr error;
  };
  static Task<void> wait_on(std::shared_ptr<State> state, std::size_t limit);
  static Task<bool> wait_within(std::shared_ptr<State> state, ObjectStore* store, TimePoint deadline);
  std::shared_ptr<State> state_;
};

}  // namespace ringfs::fs

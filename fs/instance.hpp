// What all parts of one mount's file system share: the store, the options, the clock, background tasks and handle
// numbers.
//
// Volume derives from it and owns the parts. So a shared_ptr to the Instance keeps all of them alive: a background
// coroutine takes one to the part that it belongs to, from alive(). Threads: one loop. The store must outlive the
// loop's work.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/this_coro.hpp>
#include <memory>
#include <utility>

#include "dht/base/object_store.hpp"
#include "dht/base/uuid.hpp"
#include "fs/async.hpp"
#include "fs/file_system.hpp"
#include "fs/names/keys.hpp"

namespace ringfs::fs {

class Instance : public std::enable_shared_from_this<Instance> {
 public:
  Instance(ObjectStore& object_store, FileSystemOptions file_system_options)
      : store(object_store), options(file_system_options), id(random_uuid(object_store.random())) {}
  Instance(const Instance&) = delete;
  Instance& operator=(const Instance&) = delete;

  ObjectStore& store;
  FileSystemOptions options;
  const Uuid id;
  PagesListener pages_changed;

  TimePoint now() const { return store.clock().now; }
  std::int64_t now_ns() const { return store.clock().stamp.microseconds * 1000; }  // of this mount's clock
  TimePoint deadline() const { return now() + options.operation_timeout; }         // of an operation that begins now
  bool same_partition(InodeNumber left, InodeNumber right) const {
    return partition_of_inode(left, store.partition_bits()) == partition_of_inode(right, store.partition_bits());
  }
  Handle next_handle() { return ++last_handle_; }

  // Tasks beside the operations. From abandon() on they end, and no others may be started.
  void spawn(Task<void> task) { tasks_.spawn(executor_, std::move(task)); }
  bool stopping() const { return stopping_; }
  Task<bool> wait_for_stop(Duration limit) { return stopped_.wait(store, now() + limit); }
  void abandon() {
    stopping_ = true;
    stopped_.notify();
  }
  // `part` belongs to this instance. The pointer keeps the whole instance.
  template <class Part>
  std::shared_ptr<Part> alive(Part* part) {
    return std::shared_ptr<Part>(shared_from_this(), part);
  }

 protected:
  ~Instance() = default;
  void run_tasks_on(boost::asio::any_io_executor executor) { executor_ = std::move(executor); }
  Task<bool> join_tasks(TimePoint deadline) { return tasks_.join_within(store, deadline); }

 private:
  boost::asio::any_io_executor executor_;
  TaskGroup tasks_;
  bool stopping_ = false;
  Event stopped_;
  Handle last_handle_ = 0;
};

}  // namespace ringfs::fs

// The thread that takes attributes back from the kernel.
#include "mount/fuse/attribute_notifier.hpp"

#include <cerrno>

namespace ringfs::mount {

void AttributeNotifier::start(Tell tell) {
  tell_ = std::move(tell);
  open_ = true;
  thread_ = std::thread([this] { run(); });
}

void AttributeNotifier::recall(std::vector<Recall> recalls, std::function<void()> done) {
  {
    const std::lock_guard lock(mutex_);
    if (open_) {
      waiting_.push_back({std::move(recalls), std::move(done)});
      wake_.notify_one();
      return;
    }
  }
  done();
}

void AttributeNotifier::close() {
  std::list<Job> rest;
  {
    const std::lock_guard lock(mutex_);
    open_ = false;
    rest.swap(waiting_);
  }
  for (const Job& job : rest) job.done();
}

bool AttributeNotifier::idle() const {
  const std::lock_guard lock(mutex_);
  return !telling_ && waiting_.empty();
}

void AttributeNotifier::stop() {
  if (!thread_.joinable()) return;
  close();
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
    wake_.notify_one();
  }
  thread_.join();
}

bool AttributeNotifier::tell(Job& job) const {
  std::erase_if(job.recalls, [this](const Recall& recall) {
    return tell_(recall.inode) != ENOENT || std::chrono::steady_clock::now() >= recall.until;
  });
  return job.recalls.empty();
}

void AttributeNotifier::run() {
  std::list<Job> again;  // the kernel did not know some of their inodes
  std::unique_lock lock(mutex_);
  for (;;) {
    const auto awake = [this] { return ending_ || !waiting_.empty(); };
    if (again.empty())
      wake_.wait(lock, awake);
    else
      wake_.wait_for(lock, pause, awake);
    std::list<Job> jobs = std::move(again);
    again.clear();
    jobs.splice(jobs.end(), waiting_);
    const bool ends = ending_ || !open_;  // who waits is answered
    telling_ = true;
    lock.unlock();
    while (!jobs.empty()) {
      if (ends || tell(jobs.front())) {
        jobs.front().done();
        jobs.pop_front();
      } else {
        again.splice(again.end(), jobs, jobs.begin());
      }
    }
    lock.lock();
    telling_ = !again.empty();
    if (ending_) return;
  }
}

}  // namespace ringfs::mount

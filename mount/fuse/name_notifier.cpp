// The threads that take names back from the kernel.
#include "mount/fuse/name_notifier.hpp"

#include <algorithm>
#include <cerrno>

namespace ringfs::mount {

void NameNotifier::start(Tell tell) {
  tell_ = std::move(tell);
  open_ = true;
  for (std::size_t i = 0; i < most_threads; ++i) threads_.emplace_back([this] { run(); });
}

void NameNotifier::expire(fs::InodeNumber directory, std::string name, Done done) {
  {
    const std::lock_guard lock(mutex_);
    if (open_) {
      waiting_.push_back({directory, std::move(name), std::move(done)});
      wake_.notify_one();
      return;
    }
  }
  done(ENOTCONN);
}

void NameNotifier::close() {
  std::deque<Job> rest;
  {
    const std::lock_guard lock(mutex_);
    open_ = false;
    rest.swap(waiting_);
  }
  for (const Job& job : rest) job.done(ENOTCONN);
}

bool NameNotifier::idle() const {
  const std::lock_guard lock(mutex_);
  return waiting_.empty() && telling_.empty();
}

void NameNotifier::stop() {
  if (threads_.empty()) return;
  close();
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
    wake_.notify_all();
  }
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

std::deque<NameNotifier::Job>::iterator NameNotifier::next() {
  return std::find_if(waiting_.begin(), waiting_.end(),
                      [this](const Job& job) { return !telling_.contains(job.directory); });
}

void NameNotifier::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    wake_.wait(lock, [this] { return ending_ || next() != waiting_.end(); });
    if (ending_) return;
    const auto place = next();
    const Job job = std::move(*place);
    waiting_.erase(place);
    telling_.insert(job.directory);
    lock.unlock();
    job.done(tell_(job.directory, job.name));
    lock.lock();
    telling_.erase(job.directory);
    wake_.notify_one();  // the next name of this directory
  }
}

}  // namespace ringfs::mount

#include "mount/page_notifier.hpp"

#include <cerrno>
#include <cstring>

#include <spdlog/spdlog.h>

namespace ringfs {
namespace {

void call(const std::vector<std::function<void()>>& functions) {
  for (const std::function<void()>& function : functions) function();
}

}  // namespace

void PageNotifier::start(fuse_session* session) {
  open_ = true;
  thread_ = std::thread([this, session] { run(session); });
}

void PageNotifier::invalidate(InodeNumber inode, std::function<void()> done) {
  {
    const std::lock_guard lock(mutex_);
    if (open_) {
      std::vector<std::function<void()>>& waiters = waiting_[inode];
      if (done) waiters.push_back(std::move(done));
      wake_.notify_one();
      return;
    }
  }
  if (done) done();
}

void PageNotifier::close() {
  Waiting rest;
  {
    const std::lock_guard lock(mutex_);
    open_ = false;
    rest.swap(waiting_);
  }
  for (const auto& [inode, waiters] : rest) call(waiters);
}

bool PageNotifier::idle() const {
  const std::lock_guard lock(mutex_);
  return !telling_ && waiting_.empty();
}

void PageNotifier::stop() {
  if (!thread_.joinable()) return;
  close();
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
    wake_.notify_one();
  }
  thread_.join();
}

void PageNotifier::run(fuse_session* session) {
  std::unique_lock lock(mutex_);
  for (;;) {
    wake_.wait(lock, [this] { return ending_ || !waiting_.empty(); });
    if (ending_) return;
    const auto node = waiting_.extract(waiting_.begin());
    const InodeNumber inode = node.key();
    telling_ = true;
    lock.unlock();
    const int result = fuse_lowlevel_notify_inval_inode(session, inode, 0, 0);
    call(node.mapped());
    if (result != 0 && result != -ENOENT && result != -ENODEV && result != -ENOTCONN)
      spdlog::warn("event=pages_not_dropped inode={} error=\"{}\"", inode, std::strerror(-result));
    lock.lock();
    telling_ = false;
  }
}

}  // namespace ringfs

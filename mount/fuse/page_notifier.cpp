// The threads that tell the kernel, and joining changes that wait.
#include "mount/fuse/page_notifier.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include <spdlog/spdlog.h>

namespace ringfs::mount {
namespace {

void call(const std::vector<std::function<void()>>& functions) {
  for (const std::function<void()>& function : functions) function();
}

void warn_of(int result, const char* event, fs::InodeNumber inode) {
  if (result == 0 || result == -ENOENT || result == -ENODEV || result == -ENOTCONN) return;
  spdlog::warn("event={} inode={} error=\"{}\"", event, inode, std::strerror(-result));
}

// Extends the range that `pages` drops by that of `more`.
void drop_too(fs::PageChange& pages, const fs::PageChange& more) {
  if (!more.from) return;
  if (!pages.from) {
    pages.from = more.from;
    pages.until = more.until;
    return;
  }
  pages.from = std::min(*pages.from, *more.from);
  const bool both_end = pages.until && more.until;
  pages.until = both_end ? std::max(pages.until, more.until) : std::nullopt;
}

}  // namespace

// Pages are dropped first: new bytes in a page whose rest is old would make that rest look new.
void tell_kernel(fuse_session* session, const fs::PageChange& change) {
  if (change.from) {
    const std::uint64_t length = change.until ? *change.until - *change.from : 0;  // 0: to the end
    const int result = fuse_lowlevel_notify_inval_inode(session, change.inode, static_cast<off_t>(*change.from),
                                                        static_cast<off_t>(length));
    warn_of(result, "pages_not_dropped", change.inode);
  }
  if (change.tail) {
    fuse_bufvec bytes = FUSE_BUFVEC_INIT(change.tail->bytes.size());
    bytes.buf[0].mem = const_cast<char*>(change.tail->bytes.data());
    const auto offset = static_cast<off_t>(change.tail->offset);
    const int result =
        fuse_lowlevel_notify_store(session, change.inode, offset, &bytes, static_cast<fuse_buf_copy_flags>(0));
    warn_of(result, "page_not_stored", change.inode);
  }
}

void PendingPages::add(fs::PageChange next) {
  if (next.tail) {
    if (then) drop_too(change, *std::exchange(then, std::nullopt));
    change.tail = std::move(next.tail);
    drop_too(change, next);
  } else if (next.from && change.tail) {
    // The bytes may be older than the change that drops them.
    if (!then) then.emplace().inode = next.inode;
    drop_too(*then, next);
  } else {
    drop_too(change, next);
  }
}

void PageNotifier::start(const Tell& tell) {
  const std::lock_guard lock(mutex_);
  open_ = true;
  for (std::size_t i = 0; i < most_threads; ++i) threads_.emplace_back([this, tell] { run(tell); });
}

void PageNotifier::change(fs::PageChange change, std::function<void()> done) {
  {
    const std::lock_guard lock(mutex_);
    if (open_) {
      const auto [place, is_new] = waiting_.try_emplace(change.inode);
      Waiting& waiting = place->second;
      if (is_new) {
        waiting.pages.change = std::move(change);
      } else {
        waiting.pages.add(std::move(change));  // joins the change that waits already
      }
      if (done) waiting.done.push_back(std::move(done));
      wake_.notify_one();
      return;
    }
  }
  if (done) done();
}

void PageNotifier::close() {
  std::unordered_map<fs::InodeNumber, Waiting> rest;
  {
    const std::lock_guard lock(mutex_);
    open_ = false;
    rest.swap(waiting_);
  }
  for (const auto& [inode, waiting] : rest) call(waiting.done);
}

bool PageNotifier::idle() const {
  const std::lock_guard lock(mutex_);
  return telling_.empty() && waiting_.empty();
}

void PageNotifier::stop() {
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

bool PageNotifier::has_work() const {
  return std::any_of(waiting_.begin(), waiting_.end(),
                     [this](const auto& one) { return !telling_.contains(one.first); });
}

void PageNotifier::run(const Tell& tell) {
  std::unique_lock lock(mutex_);
  for (;;) {
    wake_.wait(lock, [this] { return ending_ || has_work(); });
    if (ending_) return;
    const auto place = std::find_if(waiting_.begin(), waiting_.end(),
                                    [this](const auto& one) { return !telling_.contains(one.first); });
    const auto node = waiting_.extract(place);
    telling_.insert(node.key());
    lock.unlock();
    const PendingPages& pages = node.mapped().pages;
    tell(pages.change);
    if (pages.then) tell(*pages.then);
    call(node.mapped().done);
    lock.lock();
    telling_.erase(node.key());
    if (has_work()) wake_.notify_one();  // the next change of this file, which no thread could take before
  }
}

}  // namespace ringfs::mount

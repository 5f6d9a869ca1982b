#include "mount/page_notifier.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <spdlog/spdlog.h>

namespace ringfs {
namespace {

void call(const std::vector<std::function<void()>>& functions) {
  for (const std::function<void()>& function : functions) function();
}

void warn_of(int result, const char* event, InodeNumber inode) {
  if (result == 0 || result == -ENOENT || result == -ENODEV || result == -ENOTCONN) return;
  spdlog::warn("event={} inode={} error=\"{}\"", event, inode, std::strerror(-result));
}

// Pages first: bytes that came into a page whose rest is old would make that rest look new.
void tell(fuse_session* session, const PageChange& change) {
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
    const int result = fuse_lowlevel_notify_store(session, change.inode, offset, &bytes, static_cast<fuse_buf_copy_flags>(0));
    warn_of(result, "page_not_stored", change.inode);
  }
}

}  // namespace

void PageNotifier::start(fuse_session* session) {
  open_ = true;
  for (std::size_t i = 0; i < most_threads; ++i) threads_.emplace_back([this, session] { run(session); });
}

void PageNotifier::change(PageChange change, std::function<void()> done) {
  {
    const std::lock_guard lock(mutex_);
    if (open_) {
      Waiting& waiting = waiting_[change.inode];
      // What waits already was not told in time; both together are one change.
      if (waiting.change.from && change.from) {
        change.from = std::min(*change.from, *waiting.change.from);
        const bool both_end = change.until && waiting.change.until;
        change.until = both_end ? std::max(change.until, waiting.change.until) : std::nullopt;
      } else if (!change.from) {
        change.from = waiting.change.from;
        change.until = waiting.change.until;
      }
      if (!change.tail) change.tail = std::move(waiting.change.tail);
      waiting.change = std::move(change);
      if (done) waiting.done.push_back(std::move(done));
      wake_.notify_one();
      return;
    }
  }
  if (done) done();
}

void PageNotifier::close() {
  std::unordered_map<InodeNumber, Waiting> rest;
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
  return std::any_of(waiting_.begin(), waiting_.end(), [this](const auto& one) { return !telling_.contains(one.first); });
}

void PageNotifier::run(fuse_session* session) {
  std::unique_lock lock(mutex_);
  for (;;) {
    wake_.wait(lock, [this] { return ending_ || has_work(); });
    if (ending_) return;
    const auto place =
        std::find_if(waiting_.begin(), waiting_.end(), [this](const auto& one) { return !telling_.contains(one.first); });
    const auto node = waiting_.extract(place);
    telling_.insert(node.key());
    lock.unlock();
    tell(session, node.mapped().change);
    call(node.mapped().done);
    lock.lock();
    telling_.erase(node.key());
    if (has_work()) wake_.notify_one();  // the same file's next change, which nobody could take
  }
}

}  // namespace ringfs

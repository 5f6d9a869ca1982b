// Handing actions over from the store's threads to the loop.
#include "dht/net/runtime/inbox.hpp"

#include <boost/asio/post.hpp>

namespace ringfs::dht {

void Inbox::put(std::function<void()> action) {
  std::lock_guard guard(mutex_);
  if (closed_) return;
  actions_.push_back(std::move(action));
  if (actions_.size() == 1) boost::asio::post(loop_, [inbox = shared_from_this()] { inbox->drain(); });
}

void Inbox::post(std::function<void()> action) {
  boost::asio::post(loop_, [inbox = shared_from_this(), action = std::move(action)] {
    if (!inbox->closed_on_loop_) action();
  });
}

void Inbox::drain() {
  {
    std::lock_guard guard(mutex_);
    std::swap(actions_, draining_);
  }
  for (std::function<void()>& action : draining_) {
    // An action may end the driver; the rest is dropped.
    if (closed_on_loop_) break;
    action();
  }
  draining_.clear();
}

void Inbox::close() {
  std::lock_guard guard(mutex_);
  closed_ = true;
  closed_on_loop_ = true;
  actions_.clear();
}

}  // namespace ringfs::dht

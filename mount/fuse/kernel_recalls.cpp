// One recall: attributes, marks, names, and when it is answered.
#include "mount/fuse/kernel_recalls.hpp"

#include <boost/asio/post.hpp>

namespace ringfs::mount {

namespace asio = boost::asio;
using Clock = std::chrono::steady_clock;

// Answered when nothing is left.
struct KernelRecalls::Recall {
  Recall(asio::io_context& loop, std::function<void()> done) : timer(loop), done_(std::move(done)) {}

  void add(bool open) { ++(open ? open_ : closed_); }
  void ended(bool open) {
    --(open ? open_ : closed_);
    look();
  }
  void closed_names_took_long() {
    late_ = true;
    look();
  }
  asio::steady_timer timer;

 private:
  void look() {
    const bool waits = open_ > 0 || (closed_ > 0 && !late_) || !done_;
    if (waits) return;
    timer.cancel();
    std::exchange(done_, nullptr)();
  }

  std::size_t open_ = 0;    // what is waited for in any case
  std::size_t closed_ = 0;  // names that are not waited for any longer
  bool late_ = false;
  std::function<void()> done_;
};

void KernelRecalls::start(AttributeNotifier::Tell tell_attributes, NameNotifier::Tell tell_name) {
  attributes_.start(std::move(tell_attributes));
  if (cache_.keeps_names()) names_.start(std::move(tell_name));
  file_system_.on_kernel_recall(
      [this](const fs::KernelRecall& wanted, std::function<void()> done) { recall(wanted, std::move(done)); });
}

void KernelRecalls::close() {
  attributes_.close();
  names_.close();
}

void KernelRecalls::stop() {
  attributes_.stop();
  names_.stop();
}

void KernelRecalls::recall(const fs::KernelRecall& wanted, std::function<void()> done) {
  const Clock::time_point now = Clock::now();
  const auto recall = std::make_shared<Recall>(loop_, std::move(done));
  std::vector<AttributeNotifier::Recall> inodes;
  const auto add = [&](fs::InodeNumber inode, Duration left) {
    const auto named = cache_.known().last_named(inode);
    const auto until = now + std::chrono::nanoseconds(left);
    inodes.push_back({inode, named ? std::min(until, *named + KnownInodes::answer_age) : now});
  };
  for (const fs::AttributesRecall& one : wanted.attributes) add(one.inode, one.left);
  recall->add(true);
  std::vector<bool> open;
  for (const fs::NameRecall& name : wanted.names) {
    open.push_back(!wanted.own_change && file_system_.is_open(name.child));
    if (!wanted.own_change) recall->add(open.back());
    if (!open.back())
      cache_.marks().mark({name.directory, name.name}, name.child, now + std::chrono::nanoseconds(name.left), now);
    add(name.child, name.left);
  }
  attributes_.recall(std::move(inodes), [this, recall] { asio::post(loop_, [recall] { recall->ended(true); }); });
  if (wanted.own_change || wanted.names.empty()) return;
  for (std::size_t i = 0; i < wanted.names.size(); ++i) expire(wanted.names[i], open[i], recall);
  recall->timer.expires_after(name_wait);
  recall->timer.async_wait([recall](const boost::system::error_code& cancelled) {
    if (!cancelled) recall->closed_names_took_long();
  });
}

void KernelRecalls::expire(const fs::NameRecall& name, bool open, const std::shared_ptr<Recall>& recall) {
  const Clock::time_point asked = Clock::now();
  const auto named = cache_.known().last_named(name.child);
  // An answer may still be on its way that makes the kernel keep the name again.
  const bool certain = named && *named + KnownInodes::answer_age < asked;
  names_.expire(name.directory, name.name, [this, name, open, recall, asked, certain](int error) {
    asio::post(loop_, [this, name, open, recall, asked, certain, error] {
      const Clock::time_point now = Clock::now();
      if (error == 0 && certain) cache_.marks().told({name.directory, name.name}, now);
      if (open && now - asked > name_wait) cache_.was_late(name.directory, now);
      recall->ended(open);
    });
  });
}

}  // namespace ringfs::mount

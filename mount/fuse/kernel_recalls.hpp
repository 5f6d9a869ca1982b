// Carries out what fs::KernelLeases takes back: of the kernel's attributes and names.
//
// Attributes are taken back at once. A name's child is marked (stale_marks.hpp), the kernel is told to expire the name,
// and the recall is answered when it has, or after two milliseconds: while a local operation holds the directory,
// waiting for it could stop two mounts that each wait for the other. Of a child that is open here the answer waits for
// the kernel in any case, at worst until the lease has ended, since it cannot be marked. For a change of this mount's
// own nobody waits for names: the operation may hold their directories itself, and the kernel corrects its names when
// the answer comes; until then, and if it never comes, the mark refuses who follows them. Threads: the mount's loop.
// Limits: those of the notifiers and of StaleMarks.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include "mount/fuse/attribute_notifier.hpp"
#include "mount/fuse/kernel_cache.hpp"
#include "mount/fuse/name_notifier.hpp"

namespace ringfs::mount {

class KernelRecalls {
 public:
  static constexpr auto name_wait = std::chrono::milliseconds(2);

  KernelRecalls(boost::asio::io_context& loop, fs::FileSystem& file_system, KernelCache& cache)
      : loop_(loop), file_system_(file_system), cache_(cache) {}
  KernelRecalls(const KernelRecalls&) = delete;
  KernelRecalls& operator=(const KernelRecalls&) = delete;

  void start(AttributeNotifier::Tell tell_attributes, NameNotifier::Tell tell_name);
  // Tells the kernel nothing more; who waits is answered.
  void close();
  bool idle() const { return attributes_.idle() && names_.idle(); }
  // Waits for the threads: call it when the connection has ended.
  void stop();

 private:
  struct Recall;
  void recall(const fs::KernelRecall& wanted, std::function<void()> done);
  void expire(const fs::NameRecall& name, bool open, const std::shared_ptr<Recall>& recall);

  boost::asio::io_context& loop_;
  fs::FileSystem& file_system_;
  KernelCache& cache_;
  AttributeNotifier attributes_;
  NameNotifier names_;
};

}  // namespace ringfs::mount

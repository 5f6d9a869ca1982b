// What the kernel may keep of the answers of one mount (-o cache, man page of `ringfs mount`).
//
// `attributes`: those of inodes that it knows, as long as the ring leaves them alone (fs/kernel_leases.hpp). They come
// with answers to LOOKUP, GETATTR and READDIRPLUS only: answers to other requests would count even if the attributes
// were taken back meanwhile. `full`: names, too, but not of inodes to which a name may lead that was taken back
// (stale_marks.hpp). `none`: nothing. `loose_seconds`: names and attributes for so long, whatever others change (-o
// cached). Threads: the mount's loop.
#pragma once

#include "fs/file_system.hpp"
#include "mount/commands/mount_options.hpp"
#include "mount/fuse/known_inodes.hpp"
#include "mount/fuse/stale_marks.hpp"

namespace ringfs::mount {

class KernelCache {
 public:
  using TimePoint = StaleMarks::TimePoint;
  // So long after a recall of a name had to wait for the kernel, names of open files in that directory are not kept.
  static constexpr auto late_pause = std::chrono::seconds(2);

  KernelCache(fs::FileSystem& file_system, const MountOptions& options)
      : file_system_(file_system), caches_(options.cache), loose_seconds_(options.cached_seconds) {}

  KnownInodes& known() { return known_; }
  StaleMarks& marks() { return marks_; }
  bool keeps_attributes() const { return caches_ != KernelCaches::none && loose_seconds_ == 0; }
  bool keeps_names() const { return caches_ == KernelCaches::full && loose_seconds_ == 0; }
  // The kernel cannot be told to ask for a name again.
  void only_attributes() {
    if (caches_ == KernelCaches::full) caches_ = KernelCaches::attributes;
  }
  void was_late(fs::InodeNumber directory, TimePoint now);
  std::string metrics_text() const;

  // The request, which has no handle, gets ESTALE then.
  std::optional<TimePoint> refuses(fs::InodeNumber inode, pid_t thread);
  std::optional<TimePoint> refuses(const StaleMarks::Name& name, pid_t thread);

  // Seconds. Call them when the answer is written.
  double name_timeout(const StaleMarks::Name& name, const fs::Attributes& child);
  double attributes_timeout(const fs::Attributes& attributes);  // with LOOKUP, GETATTR and READDIRPLUS
  // Of answers that make something, or set attributes: both.
  double loose_timeout(const fs::Attributes& attributes) const;

 private:
  fs::FileSystem& file_system_;
  KernelCaches caches_;
  const double loose_seconds_;
  KnownInodes known_;
  StaleMarks marks_;
  std::unordered_map<fs::InodeNumber, TimePoint> late_;
};

}  // namespace ringfs::mount

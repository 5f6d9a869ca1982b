// What the kernel may keep of the answers of one mount (-o cache, man page of `ringfs mount`).
//
// `attributes`: those of inodes that it knows, as long as the ring leaves them alone (fs/kernel_attributes.hpp). They
// come with answers to LOOKUP, GETATTR and READDIRPLUS only: answers to other requests would count even if the
// attributes were taken back meanwhile (fs/kernel_attributes.hpp). `none`: nothing. `loose_seconds`: names and
// attributes for so long, whatever others change (-o cached). Threads: the mount's loop.
#pragma once

#include "fs/file_system.hpp"
#include "mount/commands/mount_options.hpp"
#include "mount/fuse/known_inodes.hpp"

namespace ringfs::mount {

class KernelCache {
 public:
  KernelCache(fs::FileSystem& file_system, const MountOptions& options)
      : file_system_(file_system), caches_(options.cache), loose_seconds_(options.cached_seconds) {}

  KnownInodes& known() { return known_; }
  bool keeps_attributes() const { return caches_ == KernelCaches::attributes && loose_seconds_ == 0; }

  std::string metrics_text() const;

  // Seconds. Call it when the answer is written.
  double name_timeout(const fs::Attributes& attributes) const;
  double attributes_timeout(const fs::Attributes& attributes);  // with LOOKUP, GETATTR and READDIRPLUS
  double made_attributes_timeout(const fs::Attributes& attributes) const { return name_timeout(attributes); }

 private:
  fs::FileSystem& file_system_;
  const KernelCaches caches_;
  const double loose_seconds_;
  KnownInodes known_;
};

}  // namespace ringfs::mount

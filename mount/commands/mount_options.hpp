// What `-o` of `ringfs mount` means: RingFS's own words, words of mount(8) that the kernel carries out, and words that
// only mount(8) and init need (man 8 mount, "filesystem-independent mount options"), so that a line of fstab works.
//
// Threads: pure functions. If words contradict each other, the last one counts, as for mount(8).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "dht/base/error.hpp"
#include "dht/base/ring/settings.hpp"
#include "dht/net/trust/operator_files.hpp"

namespace ringfs::mount {

// What the kernel keeps of a ring's names and attributes.
enum class KernelCaches : std::uint8_t { none, attributes, full };

struct MountOptions {
  std::string mount_point;        // absolute
  std::string source = "ringfs";  // what df and findmnt show as the device
  bool allow_other = false;
  bool read_only = false;
  bool devices = false, set_user_id = false;  // dev, suid; otherwise nodev, nosuid
  bool no_programs = false;                   // noexec
  bool no_access_times = false;
  bool synchronous = false;              // sync: each write is durable when it returns
  bool synchronous_directories = false;  // dirsync; changes of directories are durable in any case
  bool show_ring = false;                // list .ring in the root
  KernelCaches cache = KernelCaches::attributes;
  double cached_seconds = 0;                          // how long the kernel may keep names and attributes
  std::optional<unsigned> operation_timeout_seconds;  // otherwise that of the ring (dht/base/ring/settings.hpp)
  dht::OperatorFiles tls;  // tls_ca, tls_certificate, tls_key: of a ring whose certificates an operator issues

  // As libfuse wants them, "-o" included.
  std::vector<std::string> fuse_arguments() const;
};

// "allow_other,cached=1,..." into `options`. Errors: invalid_argument naming the word.
Status apply_mount_options(const std::string& text, MountOptions& options);

// Refuses what only root may ask for. Errors: not_permitted naming the word (fusermount3 would leave it out silently).
Status check_privileged_options(const MountOptions& options, bool is_root);

// The source of a mount with these nodes, host:port[,host:port]: as many whole addresses as fit a column of `df`.
std::string source_of(const std::string& addresses);

}  // namespace ringfs::mount

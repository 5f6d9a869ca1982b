// `.ring/`: the ring's state and commands as files (docs/design.md#control-files). FileSystem passes every inode whose
// top bit is set on to it.
//
// Contents are generated: size 0, direct I/O, and fixed at the open, except those of `events`. Threads and deadlines as
// FileSystem.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "dht/base/ring/ring_admin.hpp"
#include "dht/base/ring/ring_view.hpp"
#include "fs/file_system.hpp"

namespace ringfs::fs {

struct EventStream;

class ControlTree {
 public:
  static constexpr InodeNumber root = InodeNumber{1} << 63;
  static constexpr bool owns(InodeNumber inode) { return (inode & root) != 0; }
  static bool is_wait(InodeNumber inode);    // `wait`, whose open has no time limit
  static bool is_stream(InodeNumber inode);  // `events`, whose reads have none

  ControlTree(RingView& ring, RingAdmin& admin, ObjectStore& store, FileSystemOptions options);
  ~ControlTree();

  void set_operation_timeout(Duration timeout);
  // More samples of this mount, as Prometheus text, for `stats` and `metrics`.
  void add_metrics(std::function<std::string()> text);

  Task<Result<Attributes>> lookup(Caller caller, InodeNumber parent, std::string name);
  Task<Result<Attributes>> get_attributes(Caller caller, InodeNumber inode);
  // Checks permissions and generates the contents; empty when opened for writing only.
  Task<Result<std::string>> open(Caller caller, InodeNumber inode, int flags);
  // Reads a file that is_stream(). Each open of it has a `stream` of its own (fs/control/ring_watch.hpp).
  Task<Result<std::string>> read(std::shared_ptr<EventStream> stream, std::uint64_t offset, std::size_t size);
  // One command a line, at any offset.
  Task<Result<std::size_t>> write(Caller caller, InodeNumber inode, std::string bytes);
  // All entries but . and .. (a directory of .ring has at most a few thousand).
  Task<Result<std::vector<DirectoryEntry>>> list(Caller caller, InodeNumber directory);

 private:
  class Implementation;
  std::unique_ptr<Implementation> implementation_;
};

}  // namespace ringfs::fs

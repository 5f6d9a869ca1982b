// `.ring/`: the ring's state and commands as files (docs/design.md#control-files). FileSystem delegates every inode
// whose top bit is set.
//
// Files are generated: size 0, direct I/O, content fixed at open but for `events`. Threads and deadlines as FileSystem.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "dht/base/ring_admin.hpp"
#include "dht/base/ring_view.hpp"
#include "fs/file_system.hpp"

namespace ringfs::fs {

struct EventStream;

class ControlTree {
 public:
  static constexpr InodeNumber root = InodeNumber{1} << 63;
  static constexpr bool owns(InodeNumber inode) { return (inode & root) != 0; }
  static bool is_wait(InodeNumber inode);    // the file whose open may take for ever
  static bool is_stream(InodeNumber inode);  // the file whose reads may: it is read by read()

  ControlTree(RingView& ring, RingAdmin& admin, ObjectStore& store, FileSystemOptions options);
  ~ControlTree();

  void set_operation_timeout(Duration timeout);

  Task<Result<Attributes>> lookup(Caller caller, InodeNumber parent, std::string name);
  Task<Result<Attributes>> get_attributes(Caller caller, InodeNumber inode);
  // Checks permission and generates what read() will give; nothing when opened for writing only.
  Task<Result<std::string>> open(Caller caller, InodeNumber inode, int flags);
  // Of a file that is_stream(): what was opened reads on in its `stream` (fs/control/ring_watch.hpp).
  Task<Result<std::string>> read(std::shared_ptr<EventStream> stream, std::uint64_t offset, std::size_t size);
  // One command per line, at any offset.
  Task<Result<std::size_t>> write(Caller caller, InodeNumber inode, std::string bytes);
  // All entries but . and .. (a directory of .ring has at most a few thousand).
  Task<Result<std::vector<DirectoryEntry>>> list(Caller caller, InodeNumber directory);

 private:
  class Implementation;
  std::unique_ptr<Implementation> implementation_;
};

}  // namespace ringfs::fs

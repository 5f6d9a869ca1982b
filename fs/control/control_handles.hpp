// Open files and directories of `.ring/`.
//
// The contents of a file or directory are fixed when it is opened, except those of `events`. Threads and deadlines as
// FileSystem. Errors: those of ControlTree.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "fs/control/control_tree.hpp"
#include "fs/control/ring_watch.hpp"

namespace ringfs::fs {

class ControlHandles {
 public:
  explicit ControlHandles(ControlTree& tree) : tree_(tree) {}

  bool owns(Handle handle) const { return files_.contains(handle) || directories_.contains(handle); }
  // `handle` is the new one's number.
  Task<Result<Opened>> open(Handle handle, Caller caller, InodeNumber inode, int flags);
  Task<Result<ReadResult>> read(Handle handle, std::uint64_t offset, std::size_t size);
  Task<Result<std::size_t>> write(Handle handle, SharedBytes bytes);
  Task<Result<Handle>> open_directory(Handle handle, Caller caller, InodeNumber inode);
  std::vector<DirectoryEntry> read_directory(Handle handle, std::uint64_t cookie, std::size_t max_entries) const;
  void release(Handle handle);

 private:
  struct OpenFile {
    Caller caller;  // who opened it
    InodeNumber inode = 0;
    std::string contents;
    std::shared_ptr<EventStream> stream;  // instead of the contents
  };

  ControlTree& tree_;
  std::map<Handle, std::shared_ptr<const OpenFile>> files_;
  std::map<Handle, std::vector<DirectoryEntry>> directories_;  // cookies 1, 2, ...
};

}  // namespace ringfs::fs

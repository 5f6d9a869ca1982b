// Open files: opening and creating (open.cpp), writing (write.cpp), reading and closing by handles.
//
// open() reads attributes and inline contents at once, so it sees every write that was closed anywhere before
// (close-to-open). Threads, errors and deadlines as FileSystem. Limits: max_files.
#pragma once

#include <fcntl.h>

#include <memory>
#include <string>
#include <unordered_map>

#include "fs/contents/contents.hpp"
#include "fs/instance.hpp"
#include "fs/names/inodes.hpp"
#include "fs/names/names.hpp"
#include "fs/open_inodes.hpp"

namespace ringfs::fs {

inline bool is_writable(int flags) { return (flags & O_ACCMODE) != O_RDONLY; }

struct OpenFile {
  OpenPointer inode;
  int flags = 0;
  bool cached = false;               // by the kernel
  std::uint64_t reported_error = 0;  // OpenInode::error_number up to which this handle reported
  ReadPosition position;
  // The change counter of the contents as this handle was opened, if the kernel had to drop its pages then. It may
  // still be about to, until it asks something of this handle.
  std::optional<std::int64_t> dropped_at;
};

class OpenFiles {
 public:
  OpenFiles(Instance& instance, Inodes& inodes, OpenInodes& open_inodes, Contents& contents, Names& names)
      : instance_(instance), inodes_(inodes), open_inodes_(open_inodes), contents_(contents), names_(names) {}

  Task<Result<Opened>> create(Caller caller, InodeNumber parent, std::string name, std::uint32_t mode, int flags);
  Task<Result<Opened>> open(Caller caller, InodeNumber inode, int flags);
  Task<Result<ReadResult>> read(Handle handle, std::uint64_t offset, std::size_t size);
  Task<Result<std::size_t>> write(Handle handle, std::uint64_t offset, SharedBytes bytes, WriteHow how = {});
  Task<Status> flush(Handle handle);
  Task<void> release(Handle handle);

 private:
  Result<std::shared_ptr<OpenFile>> file_of(Handle handle) const;
  // open.cpp
  Task<Status> settle_before_open(OpenPointer open, bool writes_pages, TimePoint deadline);
  Opened add_handle(const OpenPointer& open, int flags);
  void pages_are_dropped(OpenFile& file);
  // write.cpp
  Task<Result<std::size_t>> write_at_end(std::shared_ptr<OpenFile> file, std::uint64_t offset, SharedBytes bytes,
                                         bool clears_set_id, TimePoint deadline);
  Task<void> settle_written_pages(OpenPointer open, std::uint64_t end, TimePoint deadline);

  Instance& instance_;
  Inodes& inodes_;
  OpenInodes& open_inodes_;
  Contents& contents_;
  Names& names_;
  std::unordered_map<Handle, std::shared_ptr<OpenFile>> files_;
};

}  // namespace ringfs::fs

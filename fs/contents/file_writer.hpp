// Changes of files' contents: write-behind (flush.cpp), appends (append.cpp), sizes (truncate.cpp).
//
// Whatever changes contents in the ring holds the inode's mutex. Written bytes wait in the inode's WriteBuffer until
// they are published. Threads: one loop. Errors: those of ObjectStore; file_too_large; timeout.
// Limits: FileSystemOptions::max_dirty_bytes for what waits.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "fs/change_set.hpp"
#include "fs/contents/chunks.hpp"
#include "fs/instance.hpp"
#include "fs/open_inodes.hpp"

namespace ringfs::fs {

class FileWriter {
 public:
  enum class Sending { full_chunks, everything };

  FileWriter(Instance& instance, OpenInodes& open_inodes, Chunks& chunks)
      : instance_(instance), store_(instance.store), open_inodes_(open_inodes), chunks_(chunks) {}

  // flush.cpp
  Task<Status> wait_for_room(OpenPointer open, std::size_t bytes, TimePoint deadline);
  void buffer(OpenInode& open, std::uint64_t offset, const SharedBytes& bytes, bool clears_set_id);
  void drop_buffer(OpenInode& open);
  Task<Status> write_out(OpenPointer open, Sending what, TimePoint deadline);
  Task<Status> flush(OpenPointer open, TimePoint deadline);
  void start_background(const OpenPointer& open, Sending what);
  std::size_t background_writes() const { return background_writes_; }

  // append.cpp. Returns where the bytes end in the file.
  Task<Result<std::uint64_t>> append(OpenPointer open, SharedBytes bytes, bool clears_set_id, TimePoint deadline);

  // truncate.cpp
  Task<Status> set_size(InodeNumber inode, std::uint64_t size, bool clears_set_id, TimePoint deadline);

 private:
  // flush.cpp
  Task<Status> write_out_locked(OpenPointer open, Sending what, TimePoint deadline);
  Task<Result<bool>> publish_inline(OpenPointer open, TimePoint deadline);
  Task<Result<bool>> send_and_publish(OpenPointer open, std::vector<std::uint64_t> chunks, TimePoint deadline);
  static Task<void> send_chunk(std::shared_ptr<FileWriter> self, OpenPointer open, std::uint64_t content,
                               std::uint64_t chunk, std::shared_ptr<Status> status, TimePoint deadline);
  static Task<void> background(std::shared_ptr<FileWriter> self, OpenPointer open, Sending what);
  OpenPointer heaviest() const;
  // Adds what is committed together with the size, on condition that the row is as known here. So it is known
  // afterwards, too.
  void publish(ChangeSet& changes, const OpenInode& open, std::optional<std::int64_t> modified,
               bool clears_set_id) const;
  void note_published(OpenInode& open, std::optional<std::int64_t> modified, bool cleared_set_id,
                      std::uint64_t version);
  std::vector<Extent> take(OpenInode& open, std::uint64_t chunk);
  void unsend(OpenInode& open);
  class Counted;  // adds to dirty_bytes_ what a buffer's cost changes by while it lives

  // append.cpp. They return where the bytes end, or `overtaken` if another mount was faster.
  static constexpr std::uint64_t overtaken = 0;
  Task<Result<std::uint64_t>> append_inline(OpenPointer open, SharedBytes bytes, bool clears_set_id,
                                            TimePoint deadline);
  Task<Result<std::uint64_t>> append_chunks(OpenPointer open, SharedBytes bytes, bool clears_set_id,
                                            TimePoint deadline);
  Task<Result<std::uint64_t>> append_under_lock(OpenPointer open, SharedBytes lock, SharedBytes bytes,
                                                bool clears_set_id, TimePoint deadline);
  Task<Result<SharedBytes>> take_append_lock(OpenPointer open, TimePoint deadline);
  Task<Result<bool>> append_to_chunk(OpenPointer open, std::uint64_t content, std::uint64_t offset, SharedBytes bytes,
                                     SharedBytes lock, TimePoint deadline);

  // truncate.cpp
  Task<Result<bool>> set_size_once(OpenPointer open, std::uint64_t size, bool clears_set_id, TimePoint deadline);

  Instance& instance_;
  ObjectStore& store_;
  OpenInodes& open_inodes_;
  Chunks& chunks_;
  std::size_t background_writes_ = 0;
  std::size_t dirty_bytes_ = 0;  // of all buffers
  Event room_;                   // dirty_bytes_ went down, or a background write failed
};

}  // namespace ringfs::fs

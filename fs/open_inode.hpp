// An inode that is in use here: what the ring said of it last, the bytes that wait to be written, and what the kernel
// was told.
//
// Threads: one loop. Limits: FileSystemOptions::max_dirty_bytes for the write buffers, ReadAhead::limit for what is
// read ahead, each of all inodes together.
#pragma once

#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "fs/async.hpp"
#include "fs/contents/write_buffer.hpp"
#include "fs/names/attributes.hpp"
#include "fs/names/keys.hpp"

namespace ringfs::fs {

// A chunk as stored; a block that is missing or short is zeros.
struct StoredChunk {
  std::array<SharedBytes, blocks_per_chunk> blocks;
};

// What this mount's kernel may hold of a file's contents; kernel_pages.cpp says what follows from it.
struct KernelView {
  unsigned readers = 0;                 // handles whose pages it keeps
  unsigned writers = 0;                 // those of them that are open for writing
  unsigned direct = 0;                  // handles that bypass its pages
  std::uint64_t size = 0;               // given to it last; KernelSizes knows whether it took it
  std::uint64_t told = 0;               // the largest that it may have been given while the file was open
  std::optional<std::uint64_t> cut_at;  // the least end of file at which a read ended: zeros follow in its page
  bool stale = false;                   // others changed the contents, and pages may show the former ones
  std::optional<TimePoint> dropped;     // when it last got a reason to drop pages, which it does some time later
  unsigned appending = 0;               // unanswered appends from here that bypass its pages
  unsigned storing = 0;                 // how often bytes of the last page are on their way to it
  Mutex telling;                        // held while it is told of changes

  bool is_used() const { return readers + direct > 0; }
  bool uncovers(std::uint64_t end) const { return readers > 0 && cut_at && end > *cut_at; }
  // A read through its pages ended there.
  void note_read(std::uint64_t end) { cut_at = std::min(cut_at.value_or(end), end); }
};

// Shared by all handles of a file; lives while one is open, an operation uses it or bytes wait to be written.
struct OpenInode {
  explicit OpenInode(InodeNumber number) : inode(number) {}

  const InodeNumber inode;
  unsigned users = 0;
  KernelView kernel;

  // As last seen in the ring, newest version.
  bool known = false;
  InodeRow row;
  std::uint64_t version = 0;
  // The inline row as seen together with `row`; only while row.content is 0.
  bool inline_known = false;
  SharedBytes inline_bytes;

  WriteBuffer buffer;
  std::optional<TimePoint> dirty_since;  // since when the oldest bytes wait, or since the last try to send them failed
  bool clears_set_id = false;            // a writer of some of them may not leave set-id bits
  // While a change of the contents by this instance travels: what `row.change` will be. A row with this value shows no
  // change by another mount.
  std::optional<std::int64_t> own_change;
  bool own_change_seen = false;
  // The time of the last write that the ring's row does not show yet.
  std::optional<std::int64_t> unpublished_modified;
  // Sending, truncating, converting and appending: one at a time.
  Mutex mutex;
  bool background_running = false;
  // Ranges of chunks (first, count) that segment rows account for, of the contents in accounted_of: {content, cut}.
  std::set<std::pair<std::uint64_t, std::uint64_t>> accounted;
  std::string accounted_of;

  // The last failed background write. error_number counts failures, so that each handle reports each once.
  std::optional<Error> error;
  std::uint64_t error_number = 0;

  // Chunks read ahead (ReadAhead). `read_epoch` grows when stored contents change; chunks that were read before are
  // then dropped.
  struct CachedChunk {
    std::shared_ptr<const StoredChunk> chunk;  // empty while being read
    std::shared_ptr<Event> arrived;
  };
  std::map<std::uint64_t, CachedChunk> read_ahead;
  std::uint64_t read_epoch = 0;

  bool is_idle() const { return users == 0 && buffer.empty() && !background_running; }
  // The end of the file, with the bytes that wait here.
  std::uint64_t end() const { return std::max(static_cast<std::uint64_t>(row.size), buffer.end()); }
};
using OpenPointer = std::shared_ptr<OpenInode>;

}  // namespace ringfs::fs

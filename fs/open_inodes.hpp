// The inodes that are in use here, and what is known of them.
//
// Every inode row that is read anywhere comes here (adopt). So all handles of a file have one size and one change
// counter, and a change by another mount shows as soon as any answer has it. Threads: one loop.
#pragma once

#include <memory>
#include <set>
#include <unordered_map>

#include "fs/change_set.hpp"
#include "fs/contents/read_ahead.hpp"
#include "fs/hint_cache.hpp"
#include "fs/instance.hpp"
#include "fs/open_inode.hpp"

namespace ringfs::fs {

// An inode with its inline row, from one snapshot.
struct LoadedContents {
  LoadedInode inode;
  ReadReply::Get inline_row;
};

class OpenInodes {
 public:
  explicit OpenInodes(Instance& instance);

  // Keeps an inode here while an operation uses it.
  class Pin {
   public:
    Pin(OpenInodes& open_inodes, InodeNumber inode) : open_inodes_(open_inodes), open_(open_inodes.pin(inode)) {}
    Pin(const Pin&) = delete;
    Pin& operator=(const Pin&) = delete;
    ~Pin() { open_inodes_.unpin(open_); }
    const OpenPointer& pointer() const { return open_; }

   private:
    OpenInodes& open_inodes_;
    OpenPointer open_;
  };
  OpenPointer pin(InodeNumber inode);
  void unpin(const OpenPointer& open);
  OpenPointer find(InodeNumber inode) const;
  const std::unordered_map<InodeNumber, OpenPointer>& all() const { return all_; }

  // Takes in a row of the ring. An older version than the known one is ignored.
  enum class Origin { elsewhere, here };  // whose change it shows
  void adopt(OpenInode& open, const LoadedInode& loaded, const ReadReply::Get* inline_row,
             Origin origin = Origin::elsewhere);
  void adopt(InodeNumber inode, const LoadedInode& loaded);  // if it is in use
  Task<Result<LoadedContents>> load(OpenPointer open, TimePoint deadline);
  Task<Status> refresh(OpenPointer open, TimePoint deadline);
  // Commits a change that raises the change counter by one, so that adopt() recognises it as our own.
  Task<Result<Outcome>> commit_own(OpenPointer open, ChangeSet& changes, TimePoint deadline);

  // With what was written here and is not in the ring's row yet.
  Attributes overlay_attributes(InodeNumber inode, const LoadedInode& loaded) const;
  // Other mounts changed the contents. Volume's regular look tells the kernel, if no operation does before.
  void pages_are_stale(OpenInode& open);
  void note_unsettled(InodeNumber inode) { unsettled_.insert(inode); }
  std::set<InodeNumber>& unsettled() { return unsettled_; }

  ReadAhead read_ahead;
  HintCache<InodeNumber, std::int64_t> kernel_cached;  // change counter of the contents that the kernel may hold

 private:
  Instance& instance_;
  std::unordered_map<InodeNumber, OpenPointer> all_;
  std::set<InodeNumber> unsettled_;  // in use, with dirty bytes or stale pages
};

}  // namespace ringfs::fs

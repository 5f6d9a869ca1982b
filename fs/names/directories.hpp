// Open directories and their listings (listing.cpp).
//
// Threads: one loop. Errors: those of ObjectStore; bad_handle; overloaded (max_directories are open).
#pragma once

#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "fs/contents/kernel_sizes.hpp"
#include "fs/instance.hpp"
#include "fs/names/hints.hpp"
#include "fs/names/inodes.hpp"
#include "fs/names/old_directories.hpp"
#include "fs/open_inodes.hpp"

namespace ringfs::fs {

struct OpenDirectory {
  InodeNumber inode = 0;
  InodeNumber parent = 0;
  bool by_hash = false;  // false: of a former format, read as a whole
  // A window of entries, ascending by their positions (cookies, fs/names/entry_order.hpp): all that follow `after` up
  // to the last one.
  bool loaded = false;
  std::uint64_t after = 0;
  std::vector<DirectoryEntry> window;
  bool at_end = false;  // nothing follows the window
  // The names at positions whose hash other names share: the others may go before this reader comes back.
  std::map<std::uint64_t, std::string> shared_hash;

  bool covers(std::uint64_t cookie) const {
    return loaded && cookie >= after && (at_end || (!window.empty() && cookie < window.back().cookie));
  }
};

// A whole listing, as it was when the directory's row had this version.
struct RememberedListing {
  std::uint64_t version = 0;
  std::vector<DirectoryEntry> entries;  // with . and .., without attributes
  std::map<std::uint64_t, std::string> shared_hash;
};

class Directories {
 public:
  Directories(Instance& instance, NameHints& hints, Inodes& inodes, OpenInodes& open_inodes, KernelSizes& kernel_sizes);

  Task<Result<Handle>> open(InodeNumber inode);
  // Entries after `cookie` (0: from the start, beginning with . and ..), at most `max_entries`.
  Task<Result<std::vector<DirectoryEntry>>> read(Handle handle, std::uint64_t cookie, std::size_t max_entries,
                                                 bool with_attributes);
  void release(Handle handle);
  bool is_open(InodeNumber inode) const { return open_.contains(inode); }

  const std::unordered_map<Handle, std::shared_ptr<OpenDirectory>>& all() const { return directories_; }

 private:
  bool give_remembered(OpenDirectory& directory, std::uint64_t cookie) const;
  void remember(const OpenDirectory& directory, std::uint64_t version);
  void add_dots(OpenDirectory& directory, std::uint64_t cookie) const;
  Task<Status> load_window(std::shared_ptr<OpenDirectory> directory, std::uint64_t cookie, bool with_attributes,
                           TimePoint deadline);
  Task<Status> load_page(std::shared_ptr<OpenDirectory> directory, std::uint64_t cookie, bool with_attributes,
                         TimePoint deadline);
  Task<Status> load_whole(std::shared_ptr<OpenDirectory> directory, TimePoint deadline);
  Task<Status> fill_attributes(std::shared_ptr<OpenDirectory> directory, std::size_t first, std::size_t count,
                               TimePoint deadline);

  Instance& instance_;
  ObjectStore& store_;
  NameHints& hints_;
  Inodes& inodes_;
  OpenInodes& open_inodes_;
  KernelSizes& kernel_sizes_;
  OldDirectories old_directories_;
  std::unordered_map<Handle, std::shared_ptr<OpenDirectory>> directories_;
  std::unordered_map<InodeNumber, unsigned> open_;  // how many handles
  HintCache<InodeNumber, std::shared_ptr<const RememberedListing>> remembered_;
};

}  // namespace ringfs::fs

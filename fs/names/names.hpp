// The operations on names and attributes: one operation a .cpp of this folder.
//
// lookup.cpp, create.cpp, link.cpp, unlink.cpp, rename.cpp, set_attributes.cpp. Names are bytes: 1..255 of anything but
// '/' and NUL. Threads, errors and deadlines as FileSystem.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "fs/change_set.hpp"
#include "fs/contents/contents.hpp"
#include "fs/instance.hpp"
#include "fs/names/attributes.hpp"
#include "fs/names/hints.hpp"
#include "fs/names/inodes.hpp"
#include "fs/names/root.hpp"
#include "fs/open_inodes.hpp"

namespace ringfs::fs {

// Errors: name_too_long, invalid_argument, not_found (empty).
Status check_name(const std::string& name);
inline bool is_dot(const std::string& name) { return name == "." || name == ".."; }

struct FoundEntry {
  bool found = false;
  RowAddress row;  // where it lies
  EntryRow entry;
  SharedBytes value;
  std::uint64_t version = 0;         // of its row; 0 where former formats put entries
  std::optional<LoadedInode> inode;  // when it came in the same snapshot
};

struct NewNode {
  InodeNumber inode = 0;
  LoadedInode loaded;
};

class Names {
 public:
  Names(Instance& instance, NameHints& hints, Inodes& inodes, OpenInodes& open_inodes, Contents& contents);

  Task<Result<Attributes>> lookup(InodeNumber parent, std::string name);
  Task<Result<Attributes>> get_attributes(InodeNumber inode);
  Task<Result<Attributes>> set_attributes(Caller caller, InodeNumber inode, SetAttributes changes);
  Task<Result<std::string>> read_link(InodeNumber inode);

  Task<Result<Attributes>> make_node(Caller caller, InodeNumber parent, std::string name, std::uint32_t mode,
                                     std::uint64_t device);
  Task<Result<Attributes>> make_directory(Caller caller, InodeNumber parent, std::string name, std::uint32_t mode);
  Task<Result<Attributes>> make_symlink(Caller caller, InodeNumber parent, std::string name, std::string target);
  Task<Result<Attributes>> link(InodeNumber inode, InodeNumber parent, std::string name);
  Task<Status> unlink(InodeNumber parent, std::string name);
  Task<Status> remove_directory(InodeNumber parent, std::string name);
  Task<Status> rename(InodeNumber parent, std::string name, InodeNumber new_parent, std::string new_name,
                      unsigned flags);

  // Parts of these operations that OpenFiles uses, too.
  Task<Result<FoundEntry>> find_entry(InodeNumber parent, std::string name, TimePoint deadline);
  // Anything but a directory. `mode`: with its type, and without the umask's bits.
  Task<Result<NewNode>> create_node(Caller caller, InodeNumber parent, std::string name, std::uint32_t mode,
                                    std::uint64_t device, std::string target, TimePoint deadline);

 private:
  // lookup.cpp
  // Names in directories of one partition, one snapshot.
  Task<Result<std::vector<FoundEntry>>> find_entries(std::vector<NameHints::Name> names, TimePoint deadline);
  Result<FoundEntry> entry_of(const NameHints::Name& name, const RowAddress& row, const ReadReply::Get& get);
  Task<Result<Attributes>> lookup_dot(InodeNumber inode, bool above, TimePoint deadline);
  Task<Result<LoadedInode>> entry_inode(FoundEntry entry, TimePoint deadline);
  // create.cpp
  static Task<void> confirm_directory(std::shared_ptr<Names> self, InodeNumber directory, TimePoint deadline);
  // unlink.cpp
  Task<Error> directory_error(InodeNumber directory, TimePoint deadline);
  void drop_link(ChangeSet& changes, InodeNumber inode, const InodeRow& row, std::int64_t now) const;
  void drop_directory(ChangeSet& changes, InodeNumber inode, std::int64_t now) const;
  void make_orphan(ChangeSet& changes, InodeNumber inode, std::uint32_t mode) const;
  // rename.cpp
  struct RenameRequest {
    InodeNumber parent = 0;
    std::string name;
    InodeNumber new_parent = 0;
    std::string new_name;
    bool no_replace = false, exchange = false;
  };
  Task<Result<std::pair<FoundEntry, FoundEntry>>> find_both(RenameRequest request, TimePoint deadline);
  static Result<bool> check_rename(const RenameRequest& request, const FoundEntry& from, const FoundEntry& to);
  void move_entries(ChangeSet& changes, const RenameRequest& request, const FoundEntry& from, const FoundEntry& to,
                    std::int64_t now) const;
  Task<Result<bool>> rename_once(RenameRequest request, TimePoint deadline);  // false: overtaken, try again
  Task<Result<bool>> confirm_before_rename(InodeNumber directory, TimePoint deadline);
  Task<Status> check_not_inside(InodeNumber moved, InodeNumber destination, TimePoint deadline);

  Instance& instance_;
  ObjectStore& store_;
  NameHints& hints_;
  Inodes& inodes_;
  OpenInodes& open_inodes_;
  Contents& contents_;
  Root root_;
};

}  // namespace ringfs::fs

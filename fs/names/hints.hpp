// What was seen of names and directories, used only to guess: whoever uses a hint checks it against the ring in the
// same request.
//
// With guesses a look-up reads the entry and the inode behind it at once, and what a program is likely to ask for next
// comes along (ObjectStore::at_hand). Threads: one loop. Limits: HintCache's, each cache its own.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "fs/change_set.hpp"
#include "fs/hint_cache.hpp"
#include "fs/instance.hpp"
#include "fs/names/attributes.hpp"
#include "fs/names/listed_names.hpp"

namespace ringfs::fs {

class NameHints {
 public:
  using Name = std::pair<InodeNumber, std::string>;  // (directory, name in it)

  explicit NameHints(const Instance& instance);

  HintCache<Name, InodeNumber> names;
  HintCache<InodeNumber, InodeRow> directories;  // what creating a child depends on
  std::optional<InodeRow> root;

  // A row that was read, or is known to be there after a change.
  void remember(InodeNumber inode, const InodeRow& row);
  // A page of a listing; one that goes on where the last one ended joins it.
  void remember_listed(InodeNumber directory, std::shared_ptr<ListedNames> page);
  // The last name in the directory that led to another directory.
  void remember_way(const Name& name) { ways_.put(name.first, name.second); }

  // Where a name's entry may lie, the place of new ones first.
  std::vector<RowAddress> entry_places(const Name& name) const;
  void require_no_entry(ChangeSet& changes, Check check, const Name& name) const;
  // An inode's row that lies beside its entry.
  std::optional<InodeNumber> inode_beside(const Name& name) const;

  // What is read stays in memory for a moment, and some of this is not there: more may come with it.
  bool must_ask(const ReadRequest& request) const;
  // Programs that list a directory look its names up one after the other (ls -l, cp -r, git status). Where what is read
  // stays in memory for a moment, the next ones come with the first.
  void read_names_ahead(ReadRequest& request, const Name& name, bool asks);
  // A walk asks for a directory's attributes, then for the next name in it; both lie in its placement. Where what is
  // read stays in memory for a moment, the name comes with the attributes: a directory on the way costs one request,
  // not two.
  void read_way_on(ReadRequest& request, InodeNumber directory) const;

 private:
  void add_places(ReadRequest& request, const Name& name) const;

  const Instance& instance_;
  HintCache<InodeNumber, std::shared_ptr<ListedNames>> listed_;
  HintCache<InodeNumber, std::string> ways_;
};

}  // namespace ringfs::fs

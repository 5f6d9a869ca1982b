// What was seen of names and directories. It is only used to guess: each user checks a hint against the ring in the
// same request.
//
// With hints a lookup reads the entry and its inode at once, and also what a program is likely to ask for next
// (ObjectStore::at_hand). Threads: one loop. Limits: HintCache's, each cache its own.
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

  // Remembers a row that was read, or that a change of ours left.
  void remember(InodeNumber inode, const InodeRow& row);
  // Remembers a page of a listing. A page that begins where the last one ended joins it.
  void remember_listed(InodeNumber directory, std::shared_ptr<ListedNames> page);
  // Remembers the last name in the directory that led to another directory.
  void remember_way(const Name& name) { ways_.put(name.first, name.second); }

  // The rows where a name's entry may lie, the place of new entries first.
  std::vector<RowAddress> entry_places(const Name& name) const;
  void require_no_entry(ChangeSet& changes, Check check, const Name& name) const;
  // The inode behind the name, if a hint knows it and its row lies in the partition of the entry.
  std::optional<InodeNumber> inode_beside(const Name& name) const;

  // The store keeps rows in memory for a moment, and some rows of this request are not there. So it goes to a node, and
  // more rows may come with it at little cost.
  bool must_ask(const ReadRequest& request) const;
  // Programs that list a directory look its names up one after the other (ls -l, cp -r, git status). If the store keeps
  // rows in memory, the next names come with the first.
  void read_names_ahead(ReadRequest& request, const Name& name, bool asks);
  // A path walk asks for a directory's attributes, then for the next name in it; both lie in the same placement. If the
  // store keeps rows in memory, the name comes with the attributes: each directory costs one request, not two.
  void read_way_on(ReadRequest& request, InodeNumber directory) const;

 private:
  void add_places(ReadRequest& request, const Name& name) const;

  const Instance& instance_;
  HintCache<InodeNumber, std::shared_ptr<ListedNames>> listed_;
  HintCache<InodeNumber, std::string> ways_;
};

}  // namespace ringfs::fs

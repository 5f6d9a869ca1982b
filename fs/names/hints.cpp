// Remembering names, and adding to a read what is likely to be asked for next.
#include "fs/names/hints.hpp"

#include <algorithm>

namespace ringfs::fs {

namespace {

constexpr std::size_t listing_hints = 64;  // directories, of one page each
constexpr std::size_t name_hints = 16384;
constexpr std::size_t directory_hints = 4096;
constexpr std::size_t most_listed_names = 10'000;  // of one directory
constexpr std::size_t most_names_ahead = 128;      // two rows of a hundred bytes each

}  // namespace

NameHints::NameHints(const Instance& instance)
    : names(name_hints),
      directories(directory_hints),
      instance_(instance),
      listed_(listing_hints),
      ways_(directory_hints) {}

void NameHints::remember(InodeNumber inode, const InodeRow& row) {
  if (!row.is_directory()) return;
  // Of two reads that overtook each other the later row counts: its change time never goes back.
  if (inode == root_inode && (!root || root->changed <= row.changed)) root = row;
  if (row.state == InodeState::live) {
    directories.put(inode, row);
  } else {
    directories.erase(inode);
  }
}

void NameHints::remember_listed(InodeNumber directory, std::shared_ptr<ListedNames> page) {
  std::optional<std::shared_ptr<ListedNames>> before = listed_.get(directory);
  if (!before || (*before)->end() != page->begin() || (*before)->size() + page->size() > most_listed_names) {
    listed_.put(directory, std::move(page));
    return;
  }
  (*before)->append(std::move(*page));
}

// A directory that has the new format keeps it: entries only move from the old places to the new ones.
std::vector<RowAddress> NameHints::entry_places(const Name& name) const {
  std::vector<RowAddress> places{entry_row(name.first, name.second)};
  const std::optional<InodeRow> seen = directories.get(name.first);
  if (!seen || !seen->entries_by_hash) places.push_back(old_entry_row(name.first, name.second));
  return places;
}

void NameHints::add_places(ReadRequest& request, const Name& name) const {
  for (RowAddress& row : entry_places(name)) request.gets.push_back(std::move(row));
}

void NameHints::require_no_entry(ChangeSet& changes, Check check, const Name& name) const {
  for (RowAddress& row : entry_places(name)) changes.require(check, absent(std::move(row)));
}

std::optional<InodeNumber> NameHints::inode_beside(const Name& name) const {
  const std::optional<InodeNumber> inode = names.get(name);
  return inode && instance_.same_partition(name.first, *inode) ? inode : std::nullopt;
}

bool NameHints::must_ask(const ReadRequest& request) const {
  return instance_.store.at_hand(request) == std::optional(false);
}

void NameHints::read_names_ahead(ReadRequest& request, const Name& name, bool asks) {
  const InodeNumber parent = name.first;
  std::optional<std::shared_ptr<ListedNames>> known = listed_.get(parent);
  if (!known) return;
  ListedNames& listed = **known;
  const ListedNames::Order order = listed.looked_up(name.second);
  if (order == ListedNames::Order::none || !asks) return;
  for (const auto& [next, inode] : listed.following(order, listed.ahead)) {
    add_places(request, {parent, next});
    if (instance_.same_partition(parent, inode)) request.gets.push_back(inode_row(inode));
  }
  listed.ahead = std::min(2 * listed.ahead, most_names_ahead);
}

void NameHints::read_way_on(ReadRequest& request, InodeNumber directory) const {
  const std::optional<std::string> name = ways_.get(directory);
  if (!name || !must_ask(request)) return;
  add_places(request, {directory, *name});
  // The lookup asks for it, too.
  if (const std::optional<InodeNumber> next = inode_beside({directory, *name})) {
    request.gets.push_back(inode_row(*next));
  }
}

}  // namespace ringfs::fs

// Lookup: the entry in the parent's placement and, when a hint says which inode it will be, that inode's row in the
// same snapshot. A wrong hint costs a second round trip, never a wrong answer.
#include <algorithm>

#include "fs/volume.hpp"

namespace ringfs::fs {

namespace {

constexpr std::size_t most_names_ahead = 128;  // two rows of a hundred bytes each

}  // namespace

// What is read stays in memory for a moment, and some of this is not there: more may come with it.
bool Volume::must_ask(const ReadRequest& request) const { return store_.at_hand(request) == std::optional(false); }

// Programs that list a directory look its names up one after the other (ls -l, cp -r, git status). Where what is read
// stays in memory for a moment, the next ones come with the first.
void Volume::read_names_ahead(ReadRequest& request, InodeNumber parent, const std::string& name, bool asks) {
  std::optional<std::shared_ptr<ListedNames>> known = listed_.get(parent);
  if (!known) return;
  ListedNames& listed = **known;
  const ListedNames::Order order = listed.looked_up(name);
  if (order == ListedNames::Order::none || !asks) return;
  for (const auto& [next, inode] : listed.following(order, listed.ahead)) {
    for (RowAddress& row : entry_places(parent, next)) request.gets.push_back(std::move(row));
    if (same_partition(parent, inode)) request.gets.push_back(inode_row(inode));
  }
  listed.ahead = std::min(2 * listed.ahead, most_names_ahead);
}

// A walk asks for a directory's attributes, then for the next name in it; both lie in its placement. Where what is read
// stays in memory for a moment, the name comes with the attributes: a directory on the way costs one request, not two.
void Volume::read_way_on(ReadRequest& request, InodeNumber directory) const {
  const std::optional<std::string> name = ways_.get(directory);
  if (!name || !must_ask(request)) return;
  for (RowAddress& row : entry_places(directory, *name)) request.gets.push_back(std::move(row));
  const std::optional<InodeNumber> next = names_.get({directory, *name});
  if (next && same_partition(directory, *next))
    request.gets.push_back(inode_row(*next));  // the look-up asks for it, too
}

// What is known of a directory's format stays true: entries only go from the old places to the new ones.
std::vector<RowAddress> Volume::entry_places(InodeNumber directory, const std::string& name) const {
  std::vector<RowAddress> places{entry_row(directory, name)};
  const std::optional<InodeRow> seen = directories_seen_.get(directory);
  if (!seen || !seen->entries_by_hash) places.push_back(old_entry_row(directory, name));
  return places;
}

void Volume::require_no_entry(ChangeSet& changes, Check check, InodeNumber directory, const std::string& name) const {
  for (RowAddress& row : entry_places(directory, name)) changes.require(check, absent(std::move(row)));
}

Task<Result<std::vector<Volume::FoundEntry>>> Volume::find_entries(std::vector<Hint> names, TimePoint deadline) {
  ReadRequest request;
  struct Range {
    std::size_t begin = 0, end = 0;  // among the gets
  };
  std::vector<Range> places;
  for (const auto& [parent, name] : names) {
    const std::size_t begin = request.gets.size();
    for (RowAddress& row : entry_places(parent, name)) request.gets.push_back(std::move(row));
    places.push_back({begin, request.gets.size()});
  }
  const std::vector<RowAddress> addresses = request.gets;
  std::vector<std::pair<InodeNumber, std::size_t>> guesses;  // inode, place among the gets
  for (const Hint& name : names) {
    std::optional<InodeNumber> hint = names_.get(name);
    bool here = hint && same_partition(name.first, *hint);
    guesses.emplace_back(here ? *hint : 0, request.gets.size());
    if (here) request.gets.push_back(inode_row(*hint));
  }
  if (names.size() == 1) {
    const bool asks = must_ask(request);
    read_names_ahead(request, names[0].first, names[0].second, asks);
    if (asks) request.gets.push_back(inode_row(names[0].first));  // the walk's other half of this directory
  }
  Result<ReadReply> reply = co_await store_.read(std::move(request), deadline);
  if (!reply) co_return tl::unexpected(reply.error());
  std::vector<FoundEntry> results(names.size());
  for (std::size_t i = 0; i < names.size(); ++i) {
    FoundEntry& found = results[i];
    std::size_t at = places[i].begin;
    while (at < places[i].end && !reply->gets[at].found) ++at;
    if (at == places[i].end) {
      names_.erase(names[i]);
      continue;
    }
    const ReadReply::Get& get = reply->gets[at];
    Result<EntryRow> entry = decode_entry(get.row.value.view());
    if (!entry) co_return tl::unexpected(entry.error());
    found.found = true;
    found.row = addresses[at];
    found.entry = *entry;
    found.value = get.row.value;
    names_.put(names[i], entry->inode);
    if (S_ISDIR(entry->type)) ways_.put(names[i].first, names[i].second);
    const auto& [guess, place] = guesses[i];
    if (guess != entry->inode || !reply->gets[place].found) continue;
    Result<InodeRow> row = decode_inode(reply->gets[place].row.value.view());
    if (!row) co_return tl::unexpected(row.error());
    remember(entry->inode, *row);
    found.inode = LoadedInode{*row, reply->gets[place].row.version};
    if (OpenPointer open = find_open(entry->inode)) adopt(*open, *found.inode, nullptr);
  }
  co_return results;
}

Task<Result<Volume::FoundEntry>> Volume::find_entry(InodeNumber parent, std::string name, TimePoint deadline) {
  std::vector<Hint> names{{parent, std::move(name)}};
  Result<std::vector<FoundEntry>> found = co_await find_entries(std::move(names), deadline);
  if (!found) co_return tl::unexpected(found.error());
  co_return std::move(found->front());
}

Task<Result<LoadedInode>> Volume::entry_inode(FoundEntry entry, TimePoint deadline) {
  if (entry.inode) co_return *entry.inode;
  Result<LoadedInode> loaded = co_await read_inode(entry.entry.inode, deadline);
  co_return loaded;
}

// How the kernel finds the inode of a file handle that it has forgotten, of whatever type, and the directory above one
// (fuse_get_dentry, fuse_get_parent in fs/fuse/inode.c).
Task<Result<Attributes>> Volume::lookup_dot(InodeNumber inode, bool above, TimePoint deadline) {
  Result<LoadedInode> loaded = co_await read_inode(inode, deadline);
  if (!loaded) co_return tl::unexpected(loaded.error());
  // Who has it open needs no handle; for everybody else it is gone.
  if (loaded->row.state != InodeState::live) co_return fail(ErrorCode::stale_handle, "it was removed");
  if (!above) {
    Result<Attributes> found = co_await answer(inode, *loaded, deadline);
    co_return found;
  }
  if (!loaded->row.is_directory()) co_return fail(ErrorCode::not_directory);
  const InodeNumber parent = loaded->row.parent;
  Result<LoadedInode> found = co_await read_inode(parent, deadline);
  if (!found) co_return tl::unexpected(found.error());
  co_return overlay_attributes(parent, found->row);
}

Task<Result<Attributes>> Volume::lookup(InodeNumber parent, std::string name) {
  const TimePoint until = deadline();
  Status valid = check_name(name);
  if (!valid) co_return tl::unexpected(valid.error());
  if (is_dot(name)) {
    Result<Attributes> found = co_await lookup_dot(parent, name == "..", until);
    co_return found;
  }
  // The inode may go between the two reads of a cold lookup: then the entry has gone or changed, too.
  constexpr unsigned tries = 4;
  for (unsigned i = 0; i < tries; ++i) {
    Result<FoundEntry> entry = co_await find_entry(parent, name, until);
    if (!entry) co_return tl::unexpected(entry.error());
    if (!entry->found) co_return fail(ErrorCode::not_found);
    const InodeNumber inode = entry->entry.inode;
    Result<LoadedInode> loaded = co_await entry_inode(std::move(*entry), until);
    if (loaded) {
      Result<Attributes> attributes = co_await answer(inode, *loaded, until);
      co_return attributes;
    }
    if (loaded.error().code != ErrorCode::stale_handle) co_return tl::unexpected(loaded.error());
  }
  co_return fail(ErrorCode::corrupt, "entry names a missing inode");
}

}  // namespace ringfs::fs

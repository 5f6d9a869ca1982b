// Lookup: the entry in the parent's placement and, when a hint says which inode it will be, that inode's row in the same
// snapshot. A wrong hint costs a second round trip, never a wrong answer.
#include <algorithm>

#include "fs/volume.hpp"

namespace ringfs {

namespace {

constexpr std::size_t most_names_ahead = 128;  // two rows of a hundred bytes each

}  // namespace

// Programs that list a directory look its names up one after the other (ls -l, cp -r, git status). Where what is read stays in
// memory for a moment, the next ones come with the first.
void Volume::read_names_ahead(ReadRequest& request, InodeNumber parent, const std::string& name) {
  std::optional<std::shared_ptr<ListedNames>> known = listed_.get(parent);
  if (!known) return;
  ListedNames& listed = **known;
  auto place = std::lower_bound(listed.names.begin(), listed.names.end(), name,
                                [](const auto& entry, const std::string& wanted) { return entry.first < wanted; });
  if (place == listed.names.end() || place->first != name) return;
  const auto number = static_cast<std::size_t>(place - listed.names.begin());
  const bool in_order = number == listed.next;
  listed.next = number + 1;
  const std::optional<bool> at_hand = store_.at_hand(request);
  if (!in_order || !at_hand || *at_hand) return;
  const std::size_t end = std::min(listed.names.size(), listed.next + listed.ahead);
  listed.ahead = std::min(2 * listed.ahead, most_names_ahead);
  for (std::size_t i = listed.next; i < end; ++i) {
    const auto& [next, inode] = listed.names[i];
    request.gets.push_back(entry_row(parent, next));
    if (same_partition(parent, inode)) request.gets.push_back(inode_row(inode));
  }
}

Task<Result<std::vector<Volume::FoundEntry>>> Volume::find_entries(std::vector<Hint> names, TimePoint deadline) {
  ReadRequest request;
  for (const auto& [parent, name] : names) request.gets.push_back(entry_row(parent, name));
  std::vector<std::pair<InodeNumber, std::size_t>> guesses;  // inode, place among the gets
  for (const Hint& name : names) {
    std::optional<InodeNumber> hint = names_.get(name);
    bool here = hint && same_partition(name.first, *hint);
    guesses.emplace_back(here ? *hint : 0, request.gets.size());
    if (here) request.gets.push_back(inode_row(*hint));
  }
  if (names.size() == 1) read_names_ahead(request, names[0].first, names[0].second);
  Result<ReadReply> reply = co_await store_.read(std::move(request), deadline);
  if (!reply) co_return tl::unexpected(reply.error());
  std::vector<FoundEntry> results(names.size());
  for (std::size_t i = 0; i < names.size(); ++i) {
    FoundEntry& found = results[i];
    const ReadReply::Get& get = reply->gets[i];
    if (!get.found) {
      names_.erase(names[i]);
      continue;
    }
    Result<EntryRow> entry = decode_entry(get.row.value.view());
    if (!entry) co_return tl::unexpected(entry.error());
    found.found = true;
    found.entry = *entry;
    found.value = get.row.value;
    names_.put(names[i], entry->inode);
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

Task<Result<Attributes>> Volume::lookup(InodeNumber parent, std::string name) {
  const TimePoint until = deadline();
  Status valid = check_name(name);
  if (!valid) co_return tl::unexpected(valid.error());
  if (is_dot(name)) {
    Result<LoadedInode> directory = co_await read_inode(parent, until);
    if (!directory) co_return tl::unexpected(directory.error());
    if (!directory->row.is_directory()) co_return fail(ErrorCode::not_directory);
    if (name == ".") co_return overlay_attributes(parent, directory->row);
    const InodeNumber above = directory->row.parent;
    Result<LoadedInode> loaded = co_await read_inode(above, until);
    if (!loaded) co_return tl::unexpected(loaded.error());
    co_return overlay_attributes(above, loaded->row);
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
      const Attributes attributes = co_await answer(inode, *loaded, until);
      co_return attributes;
    }
    if (loaded.error().code != ErrorCode::stale_handle) co_return tl::unexpected(loaded.error());
  }
  co_return fail(ErrorCode::corrupt, "entry names a missing inode");
}

}  // namespace ringfs

// Lookup: the entry in the parent's placement and, if a hint names its inode, that inode's row in the same snapshot. A
// wrong hint costs a second round trip, never a wrong answer.
#include "fs/names/names.hpp"

namespace ringfs::fs {

Names::Names(Instance& instance, NameHints& hints, Inodes& inodes, OpenInodes& open_inodes, Contents& contents)
    : instance_(instance),
      store_(instance.store),
      hints_(hints),
      inodes_(inodes),
      open_inodes_(open_inodes),
      contents_(contents),
      root_(instance, hints, inodes, open_inodes) {}

Status check_name(const std::string& name) {
  if (name.empty()) return fail(ErrorCode::not_found, "empty name");
  if (name.size() > max_name_bytes) return fail(ErrorCode::name_too_long, "name");
  bool valid = name.find('/') == std::string::npos && name.find('\0') == std::string::npos;
  if (!valid) return fail(ErrorCode::invalid_argument, "name");
  return {};
}

// Decodes what was read from one of the name's places.
Result<FoundEntry> Names::entry_of(const NameHints::Name& name, const RowAddress& row, const ReadReply::Get& get) {
  Result<EntryRow> entry = decode_entry(get.row.value.view());
  if (!entry) return tl::unexpected(entry.error());
  hints_.names.put(name, entry->inode);
  if (S_ISDIR(entry->type)) hints_.remember_way(name);
  const bool at_its_place = row == entry_row(name.first, name.second);
  return FoundEntry{true, row, *entry, get.row.value, at_its_place ? get.row.version : 0, std::nullopt};
}

Task<Result<std::vector<FoundEntry>>> Names::find_entries(std::vector<NameHints::Name> names, TimePoint deadline) {
  ReadRequest request;
  struct Range {
    std::size_t begin = 0, end = 0;  // among the gets
  };
  std::vector<Range> places;
  for (const NameHints::Name& name : names) {
    const std::size_t begin = request.gets.size();
    for (RowAddress& row : hints_.entry_places(name)) request.gets.push_back(std::move(row));
    places.push_back({begin, request.gets.size()});
  }
  const std::vector<RowAddress> addresses = request.gets;
  std::vector<std::pair<InodeNumber, std::size_t>> guesses;  // inode, place among the gets
  for (const NameHints::Name& name : names) {
    const std::optional<InodeNumber> beside = hints_.inode_beside(name);
    guesses.emplace_back(beside.value_or(0), request.gets.size());
    if (beside) request.gets.push_back(inode_row(*beside));
  }
  if (names.size() == 1) {
    const bool asks = hints_.must_ask(request);
    hints_.read_names_ahead(request, names[0], asks);
    if (asks)
      request.gets.push_back(inode_row(names[0].first));  // a path walk asks for the directory's attributes, too
  }
  Result<ReadReply> reply = co_await store_.read(std::move(request), deadline);
  if (!reply) co_return tl::unexpected(reply.error());
  std::vector<FoundEntry> results(names.size());
  for (std::size_t i = 0; i < names.size(); ++i) {
    std::size_t at = places[i].begin;
    while (at < places[i].end && !reply->gets[at].found) ++at;
    if (at == places[i].end) {
      hints_.names.erase(names[i]);
      continue;
    }
    Result<FoundEntry> found = entry_of(names[i], addresses[at], reply->gets[at]);
    if (!found) co_return tl::unexpected(found.error());
    results[i] = std::move(*found);
    const auto& [guess, place] = guesses[i];
    if (guess != results[i].entry.inode || !reply->gets[place].found) continue;
    Result<LoadedInode> inode = loaded_inode(reply->gets[place]);
    if (!inode) co_return tl::unexpected(inode.error());
    hints_.remember(guess, inode->row);
    results[i].inode = *inode;
    open_inodes_.adopt(guess, *inode);
  }
  co_return results;
}

Task<Result<FoundEntry>> Names::find_entry(InodeNumber parent, std::string name, TimePoint deadline) {
  std::vector<NameHints::Name> names{{parent, std::move(name)}};
  Result<std::vector<FoundEntry>> found = co_await find_entries(std::move(names), deadline);
  if (!found) co_return tl::unexpected(found.error());
  co_return std::move(found->front());
}

Task<Result<LoadedInode>> Names::entry_inode(FoundEntry entry, TimePoint deadline) {
  if (entry.inode) co_return *entry.inode;
  Result<LoadedInode> loaded = co_await inodes_.read(entry.entry.inode, deadline);
  co_return loaded;
}

// "." and "..": the kernel finds the inode of a file handle that it has forgotten, of any type, and the directory above
// one (fuse_get_dentry, fuse_get_parent in Linux fs/fuse/inode.c).
Task<Result<Attributes>> Names::lookup_dot(InodeNumber inode, bool above, TimePoint deadline) {
  Result<LoadedInode> loaded = co_await inodes_.read(inode, deadline);
  if (!loaded) co_return tl::unexpected(loaded.error());
  // Programs that have it open need no handle; for all others it is gone.
  if (loaded->row.state != InodeState::live) co_return fail(ErrorCode::stale_handle, "it was removed");
  if (!above) {
    Result<Attributes> found = co_await contents_.kernel_pages.answer(inode, *loaded, deadline);
    co_return found;
  }
  if (!loaded->row.is_directory()) co_return fail(ErrorCode::not_directory);
  const InodeNumber parent = loaded->row.parent;
  Result<LoadedInode> found = co_await inodes_.read(parent, deadline);
  if (!found) co_return tl::unexpected(found.error());
  co_return open_inodes_.overlay_attributes(parent, *found);
}

Task<Result<Attributes>> Names::lookup(InodeNumber parent, std::string name) {
  const TimePoint until = instance_.deadline();
  Status valid = check_name(name);
  if (!valid) co_return tl::unexpected(valid.error());
  if (is_dot(name)) {
    Result<Attributes> found = co_await lookup_dot(parent, name == "..", until);
    co_return found;
  }
  // Between the two reads of a cold lookup the inode may go. Then the entry has gone or changed, too.
  constexpr unsigned tries = 4;
  for (unsigned i = 0; i < tries; ++i) {
    Result<FoundEntry> entry = co_await find_entry(parent, name, until);
    if (!entry) co_return tl::unexpected(entry.error());
    if (!entry->found) co_return fail(ErrorCode::not_found);
    const InodeNumber inode = entry->entry.inode;
    const std::uint64_t version = entry->version;
    Result<LoadedInode> loaded = co_await entry_inode(std::move(*entry), until);
    if (loaded) {
      Result<Attributes> attributes = co_await contents_.kernel_pages.answer(inode, *loaded, until);
      if (attributes) attributes->entry_version = version;
      co_return attributes;
    }
    if (loaded.error().code != ErrorCode::stale_handle) co_return tl::unexpected(loaded.error());
  }
  co_return fail(ErrorCode::corrupt, "entry names a missing inode");
}

}  // namespace ringfs::fs

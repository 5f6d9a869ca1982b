// Listings: pages of entries, in the order of their names, with their inodes when asked.
//
// A handle keeps a window of entries and numbers them; the next page goes on behind the last name, so an entry that stays is
// listed exactly once whatever happens to others. Pages remember the name before them for readers that go back.
#include <algorithm>

#include "fs/control_tree.hpp"
#include "fs/volume.hpp"

namespace ringfs {

namespace {

constexpr std::uint32_t page_entries = 1000;
// The inodes of a directory's files lie beside it: a small directory comes with all of them in the same read.
constexpr std::uint32_t page_inodes = page_entries + 100;
constexpr std::size_t most_listed_names = 10'000;  // remembered of one directory
constexpr std::size_t max_directories = 65536;  // open at once

}  // namespace

Task<Result<Handle>> Volume::open_directory(InodeNumber inode) {
  Result<LoadedInode> loaded = co_await read_inode(inode, deadline());
  if (!loaded) co_return tl::unexpected(loaded.error());
  if (!loaded->row.is_directory()) co_return fail(ErrorCode::not_directory);
  if (directories_.size() >= max_directories) co_return fail(ErrorCode::overloaded, "open directories");
  auto directory = std::make_shared<OpenDirectory>();
  directory->inode = inode;
  directory->parent = loaded->row.parent;
  Handle handle = next_handle();
  directories_.emplace(handle, std::move(directory));
  co_return handle;
}

void Volume::release_directory(Handle handle) { directories_.erase(handle); }

// A page that goes on where the last one ended joins it.
void Volume::remember_listed(InodeNumber directory, std::shared_ptr<ListedNames> page) {
  std::optional<std::shared_ptr<ListedNames>> before = listed_.get(directory);
  const bool goes_on = before && !page->names.empty() && !(*before)->names.empty() && (*before)->names.back().first < page->names.front().first;
  if (!goes_on || (*before)->names.size() + page->names.size() > most_listed_names) {
    listed_.put(directory, std::move(page));
    return;
  }
  std::move(page->names.begin(), page->names.end(), std::back_inserter((*before)->names));
}

Task<Status> Volume::load_page(std::shared_ptr<OpenDirectory> directory, std::uint64_t cookie, bool with_attributes,
                               TimePoint deadline) {
  if (cookie == 0) directory->pages.clear();
  // The last page that begins at or before the cookie.
  std::uint64_t first = 0;
  std::string after;
  if (auto page = directory->pages.upper_bound(cookie); page != directory->pages.begin()) {
    --page;
    first = page->first;
    after = page->second;
  }
  const RowAddress prefix = entry_prefix(directory->inode);
  ReadRequest request;
  ReadRequest::Scan names;
  names.key = prefix.key;
  names.prefix = prefix.sort;
  names.after = after.empty() ? std::string() : prefix.sort + after;
  names.max_rows = page_entries;
  request.scans.push_back(std::move(names));
  if (with_attributes && after.empty()) {
    ReadRequest::Scan inodes;
    inodes.key = prefix.key;
    inodes.prefix = "I/";
    inodes.max_rows = page_inodes;
    request.scans.push_back(std::move(inodes));
  }
  Result<ReadReply> reply = co_await store_.read(std::move(request), deadline);
  if (!reply) co_return tl::unexpected(reply.error());

  std::map<InodeNumber, InodeRow> inodes;
  if (reply->scans.size() > 1) {
    for (const Row& stored : reply->scans[1].rows) {
      Result<InodeRow> row = decode_inode(stored.value.view());
      if (!row) co_return tl::unexpected(row.error());
      inodes.emplace(inode_of(stored.sort), *row);
    }
  }
  directory->first_cookie = first;
  directory->window.clear();
  auto add = [&](std::string name, InodeNumber inode, std::uint32_t type) {
    DirectoryEntry entry;
    entry.name = std::move(name);
    entry.inode = inode;
    entry.type = type;
    entry.cookie = first + directory->window.size() + 1;
    if (auto row = inodes.find(inode); row != inodes.end()) entry.attributes = overlay_attributes(inode, row->second);
    directory->window.push_back(std::move(entry));
  };
  if (first == 0) {
    add(".", directory->inode, S_IFDIR);
    add("..", directory->parent, S_IFDIR);
    if (directory->inode == root_inode && options_.show_ring) add(".ring", ControlTree::root, S_IFDIR);
  }
  auto listed = std::make_shared<ListedNames>();
  for (const Row& stored : reply->scans.front().rows) {
    Result<EntryRow> entry = decode_entry(stored.value.view());
    if (!entry) co_return tl::unexpected(entry.error());
    std::string name(entry_name(stored.sort));
    names_.put({directory->inode, name}, entry->inode);
    listed->names.emplace_back(name, entry->inode);
    add(std::move(name), entry->inode, entry->type);
  }
  remember_listed(directory->inode, std::move(listed));
  directory->at_end = !reply->scans.front().more;
  // A page that shrank since its cookies were given out: whoever stood behind its end goes on with the next page.
  const std::uint64_t next = std::max(cookie, first + directory->window.size());
  if (!directory->at_end && !reply->scans.front().rows.empty()) {
    directory->pages[next] = std::string(entry_name(reply->scans.front().rows.back().sort));
  }
  co_return Status();
}

Task<Status> Volume::fill_attributes(std::shared_ptr<OpenDirectory> directory, std::size_t first, std::size_t count,
                                     TimePoint deadline) {
  std::vector<InodeNumber> inodes;
  std::vector<std::uint64_t> cookies;
  for (std::size_t i = first; i < first + count; ++i) {
    const DirectoryEntry& entry = directory->window[i];
    if (entry.attributes || ControlTree::owns(entry.inode)) continue;
    inodes.push_back(entry.inode);
    cookies.push_back(entry.cookie);
  }
  if (inodes.empty()) co_return Status();
  std::vector<InodeNumber> wanted = inodes;
  Result<std::vector<std::optional<LoadedInode>>> rows = co_await read_inodes(std::move(wanted), deadline);
  if (!rows) co_return tl::unexpected(rows.error());
  for (std::size_t i = 0; i < inodes.size(); ++i) {
    if (!(*rows)[i]) continue;  // removed since: listed without attributes
    std::size_t place = cookies[i] - directory->first_cookie - 1;
    bool same = place < directory->window.size() && directory->window[place].inode == inodes[i];
    if (same) directory->window[place].attributes = overlay_attributes(inodes[i], (*rows)[i]->row);
  }
  co_return Status();
}

Task<Result<std::vector<DirectoryEntry>>> Volume::read_directory(Handle handle, std::uint64_t cookie,
                                                                 std::size_t max_entries, bool with_attributes) {
  const TimePoint until = deadline();
  auto place = directories_.find(handle);
  if (place == directories_.end()) co_return fail(ErrorCode::bad_handle);
  std::shared_ptr<OpenDirectory> directory = place->second;
  std::vector<DirectoryEntry> result;
  const std::uint64_t begin = directory->first_cookie;
  const std::uint64_t end = begin + directory->window.size();
  const bool inside = cookie != 0 && cookie >= begin && cookie < end;
  if (!inside) {
    if (cookie != 0 && cookie >= end && directory->at_end) co_return result;
    Status loaded = co_await load_page(directory, cookie, with_attributes, until);
    if (!loaded) co_return tl::unexpected(loaded.error());
    if (cookie >= directory->first_cookie + directory->window.size() && !directory->at_end) {
      loaded = co_await load_page(directory, cookie, with_attributes, until);
      if (!loaded) co_return tl::unexpected(loaded.error());
    }
  }
  if (cookie < directory->first_cookie) co_return fail(ErrorCode::invalid_argument, "cookie");
  const std::size_t first = cookie - directory->first_cookie;
  if (first >= directory->window.size()) co_return result;
  const std::size_t count = std::min(max_entries, directory->window.size() - first);
  if (with_attributes) {
    Status filled = co_await fill_attributes(directory, first, count, until);
    if (!filled) co_return tl::unexpected(filled.error());
  }
  auto from = directory->window.begin() + static_cast<std::ptrdiff_t>(first);
  result.assign(from, from + static_cast<std::ptrdiff_t>(count));
  // Of files that are open here the kernel hears by answers that are as new as any (kernel_pages.cpp), not by an older page.
  for (DirectoryEntry& entry : result) {
    const OpenPointer open = find_open(entry.inode);
    if (open && open->kernel.is_used()) entry.attributes.reset();
  }
  co_return result;
}

}  // namespace ringfs

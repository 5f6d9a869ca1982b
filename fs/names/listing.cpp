// Listings: pages of entries in the order of their positions (fs/names/entry_order.hpp), with their inodes if asked
// for.
//
// A handle keeps a window of entries. The next page begins behind the last position. So an entry that stays is listed
// exactly once, whatever happens to others, and a position means the same in every stream, on every mount, for ever.
#include <algorithm>
#include <set>
#include <tuple>

#include "fs/control/control_tree.hpp"
#include "fs/names/directories.hpp"
#include "fs/names/entry_order.hpp"
#include "fs/read_rows.hpp"

namespace ringfs::fs {

namespace {

constexpr std::uint32_t page_entries = 1000;
// The inodes of a directory's files lie beside it: one read of a small directory has all of them.
constexpr std::uint32_t page_inodes = page_entries + 100;
constexpr std::size_t max_directories = 65536;  // open at once
// Listings that are remembered, and the entries of each: some 40 MB at most.
constexpr std::size_t remembered_listings = 1024;
constexpr std::size_t most_remembered_entries = 200;
// A directory of a former format is read as a whole: some 60 MB. A larger one is converted before it is listed.
constexpr std::size_t max_whole_entries = std::size_t{1} << 18;

using InodeRows = std::map<InodeNumber, LoadedInode>;

Result<InodeRows> decode_inodes(const ReadReply& reply) {
  InodeRows inodes;
  if (reply.scans.size() < 2) return inodes;
  for (const Row& stored : reply.scans[1].rows) {
    Result<InodeRow> row = decode_inode(stored.value.view());
    if (!row) return tl::unexpected(row.error());
    inodes.emplace(inode_of(stored.sort), LoadedInode{*row, stored.version});
  }
  return inodes;
}

// Numbers entries that come in the order of hash and name with their positions.
class Positions {
 public:
  // The entries follow the position `after`, which is that of `after_name` if other names share its hash.
  Positions(std::uint64_t after, std::string after_name)
      : last_(after), after_(after), after_name_(std::move(after_name)) {}

  // No value: the entry lies at `after` or before it.
  std::optional<std::uint64_t> next(const std::string& name) {
    const std::uint64_t hash = entry_hash(name);
    rank_ = seen_ && hash == hash_ ? rank_ + 1 : 0;
    hash_ = hash;
    seen_ = true;
    if (rank_ >= max_same_hash) return std::nullopt;
    if (after_ >= first_entry_position && hash == hash_of_position(after_)) {
      const bool passed = after_name_.empty() ? rank_ <= rank_of_position(after_) : name <= after_name_;
      if (passed) return std::nullopt;
    }
    // Some names with this hash may have gone; the rest stays behind the positions that were given out.
    last_ = std::max(entry_position(hash, rank_), last_ + 1);
    return last_;
  }
  bool shares_hash() const { return rank_ > 0; }

 private:
  std::uint64_t last_;
  const std::uint64_t after_;
  const std::string after_name_;
  bool seen_ = false;
  std::uint64_t hash_ = 0, rank_ = 0;
};

void add_entry(OpenDirectory& directory, std::string name, InodeNumber inode, std::uint32_t type,
               std::uint64_t position, bool shares_hash) {
  if (shares_hash) {
    if (!directory.window.empty()) directory.shared_hash[directory.window.back().cookie] = directory.window.back().name;
    directory.shared_hash[position] = name;
  }
  DirectoryEntry entry;
  entry.name = std::move(name);
  entry.inode = inode;
  entry.type = type;
  entry.cookie = position;
  directory.window.push_back(std::move(entry));
}

}  // namespace

Directories::Directories(Instance& instance, NameHints& hints, Inodes& inodes, OpenInodes& open_inodes,
                         KernelSizes& kernel_sizes)
    : instance_(instance),
      store_(instance.store),
      hints_(hints),
      inodes_(inodes),
      open_inodes_(open_inodes),
      kernel_sizes_(kernel_sizes),
      old_directories_(instance, hints),
      remembered_(remembered_listings) {}

Task<Result<Handle>> Directories::open(InodeNumber inode) {
  Result<LoadedInode> loaded = co_await inodes_.read(inode, instance_.deadline());
  if (!loaded) co_return tl::unexpected(loaded.error());
  if (!loaded->row.is_directory()) co_return fail(ErrorCode::not_directory);
  if (directories_.size() >= max_directories) co_return fail(ErrorCode::overloaded, "open directories");
  auto directory = std::make_shared<OpenDirectory>();
  directory->inode = inode;
  directory->parent = loaded->row.parent;
  directory->by_hash = loaded->row.entries_by_hash;
  if (!directory->by_hash) old_directories_.start_conversion(inode);
  Handle handle = instance_.next_handle();
  directories_.emplace(handle, std::move(directory));
  ++open_[inode];
  co_return handle;
}

void Directories::release(Handle handle) {
  const auto place = directories_.find(handle);
  if (place == directories_.end()) return;
  const auto open = open_.find(place->second->inode);
  if (--open->second == 0) open_.erase(open);
  directories_.erase(place);
}

void Directories::add_dots(OpenDirectory& directory, std::uint64_t cookie) const {
  std::uint64_t position = 0;
  auto add = [&](std::string name, InodeNumber inode) {
    if (++position > cookie) add_entry(directory, std::move(name), inode, S_IFDIR, position, false);
  };
  add(".", directory.inode);
  add("..", directory.parent);
  if (directory.inode == root_inode && instance_.options.show_ring) add(".ring", ControlTree::root);
}

Task<Status> Directories::load_page(std::shared_ptr<OpenDirectory> directory, std::uint64_t cookie,
                                    bool with_attributes, TimePoint deadline) {
  const RowAddress prefix = entry_prefix(directory->inode);
  const bool from_start = cookie < first_entry_position;
  if (from_start && give_remembered(*directory, cookie)) co_return Status();
  ReadRequest request;
  request.gets.push_back(inode_row(directory->inode));
  const RowAddress names{prefix.key, prefix.sort + ":"};
  // The names with this hash come again: their rank says which of them were listed.
  std::string after = from_start ? std::string() : names.sort + entry_hash_bytes(hash_of_position(cookie));
  request.scans.push_back(scan_of(names, std::move(after), page_entries));
  if (with_attributes && from_start) request.scans.push_back(scan_of({prefix.key, "I/"}, {}, page_inodes));
  Result<ReadReply> reply = co_await store_.read(std::move(request), deadline);
  if (!reply) co_return tl::unexpected(reply.error());
  const Result<InodeRows> inodes = decode_inodes(*reply);
  if (!inodes) co_return tl::unexpected(inodes.error());

  directory->loaded = false;
  directory->window.clear();
  directory->after = cookie;
  if (from_start) add_dots(*directory, cookie);
  for (DirectoryEntry& dot : directory->window) {
    if (const auto row = inodes->find(dot.inode); row != inodes->end())
      dot.attributes = open_inodes_.overlay_attributes(dot.inode, row->second);
  }
  const auto shared = directory->shared_hash.find(cookie);
  Positions positions(std::max(cookie, first_entry_position - 1),
                      shared == directory->shared_hash.end() ? std::string() : shared->second);
  auto listed = std::make_shared<ListedNames>(from_start ? 0 : cookie);
  for (const Row& stored : reply->scans.front().rows) {
    Result<EntryRow> entry = decode_entry(stored.value.view());
    if (!entry) co_return tl::unexpected(entry.error());
    std::string name(entry_name(stored.sort));
    const std::optional<std::uint64_t> position = positions.next(name);
    if (!position) continue;
    hints_.names.put({directory->inode, name}, entry->inode);
    listed->add(name, entry->inode, *position);
    add_entry(*directory, std::move(name), entry->inode, entry->type, *position, positions.shares_hash());
    directory->window.back().version = stored.version;
    const auto row = inodes->find(entry->inode);
    if (row != inodes->end())
      directory->window.back().attributes = open_inodes_.overlay_attributes(entry->inode, row->second);
  }
  hints_.remember_listed(directory->inode, std::move(listed));
  directory->at_end = !reply->scans.front().more;
  directory->loaded = true;
  if (cookie == 0 && directory->at_end && reply->gets[0].found) remember(*directory, reply->gets[0].row.version);
  co_return Status();
}

// Every change of an entry touches the directory's row. While that has the version that it had when the entries were
// read, and nobody changes it without asking, they are the same.
bool Directories::give_remembered(OpenDirectory& directory, std::uint64_t cookie) const {
  const std::optional<std::shared_ptr<const RememberedListing>> known = remembered_.get(directory.inode);
  if (!known || !store_.leased_until(inode_row(directory.inode), (*known)->version)) return false;
  directory.window = (*known)->entries;
  std::erase_if(directory.window, [cookie](const DirectoryEntry& entry) { return entry.cookie <= cookie; });
  directory.shared_hash = (*known)->shared_hash;
  directory.after = cookie;
  directory.at_end = directory.loaded = true;
  return true;
}

void Directories::remember(const OpenDirectory& directory, std::uint64_t version) {
  if (directory.window.size() > most_remembered_entries) return;
  auto listing = std::make_shared<RememberedListing>();
  listing->version = version;
  listing->entries = directory.window;
  for (DirectoryEntry& entry : listing->entries) entry.attributes.reset();
  listing->shared_hash = directory.shared_hash;
  remembered_.put(directory.inode, std::move(listing));
}

// For former formats, whose order is not that of positions. Entries that are moved to their new places meanwhile are
// met there later in the same scan, perhaps twice.
Task<Status> Directories::load_whole(std::shared_ptr<OpenDirectory> directory, TimePoint deadline) {
  struct Entry {
    std::uint64_t hash = 0;
    std::string name;
    EntryRow row;
    bool operator<(const Entry& other) const { return std::tie(hash, name) < std::tie(other.hash, other.name); }
  };
  const RowAddress prefix = entry_prefix(directory->inode);
  std::set<Entry> entries;
  std::string after;
  for (bool more = true; more;) {
    ReadRequest::Scan scan = scan_of(prefix, after, page_entries);
    Result<ReadReply::ScanResult> page = co_await scan_rows(store_, std::move(scan), deadline);
    if (!page) co_return tl::unexpected(page.error());
    for (const Row& stored : page->rows) {
      Result<EntryRow> entry = decode_entry(stored.value.view());
      if (!entry) co_return tl::unexpected(entry.error());
      std::string name(entry_name(stored.sort));
      const std::uint64_t hash = entry_hash(name);
      entries.insert(Entry{hash, std::move(name), *entry});
      after = stored.sort;
    }
    more = page->more;
    if (more && entries.size() > max_whole_entries) {
      Status converted = co_await old_directories_.convert(directory->inode, deadline);
      if (!converted) co_return converted;
      directory->by_hash = true;
      co_return Status();
    }
  }
  directory->window.clear();
  directory->shared_hash.clear();
  directory->after = 0;
  add_dots(*directory, 0);
  Positions positions(first_entry_position - 1, {});
  for (const Entry& entry : entries) {
    const std::optional<std::uint64_t> position = positions.next(entry.name);
    if (position)
      add_entry(*directory, entry.name, entry.row.inode, entry.row.type, *position, positions.shares_hash());
  }
  directory->at_end = true;
  directory->loaded = true;
  co_return Status();
}

Task<Status> Directories::load_window(std::shared_ptr<OpenDirectory> directory, std::uint64_t cookie,
                                      bool with_attributes, TimePoint deadline) {
  if (!directory->by_hash) {
    Status loaded = co_await load_whole(directory, deadline);
    if (!loaded || !directory->by_hash) co_return loaded;
  }
  Status loaded = co_await load_page(directory, cookie, with_attributes, deadline);
  co_return loaded;
}

Task<Status> Directories::fill_attributes(std::shared_ptr<OpenDirectory> directory, std::size_t first,
                                          std::size_t count, TimePoint deadline) {
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
  Result<std::vector<std::optional<LoadedInode>>> rows = co_await inodes_.read_many(std::move(wanted), deadline);
  if (!rows) co_return tl::unexpected(rows.error());
  // Another reader of this stream may have loaded another window meanwhile.
  std::size_t place = 0;
  for (std::size_t i = 0; i < inodes.size(); ++i) {
    if (!(*rows)[i]) continue;  // removed since: listed without attributes
    while (place < directory->window.size() && directory->window[place].cookie < cookies[i]) ++place;
    if (place == directory->window.size()) break;
    DirectoryEntry& entry = directory->window[place];
    if (entry.cookie == cookies[i] && entry.inode == inodes[i])
      entry.attributes = open_inodes_.overlay_attributes(inodes[i], *(*rows)[i]);
  }
  co_return Status();
}

Task<Result<std::vector<DirectoryEntry>>> Directories::read(Handle handle, std::uint64_t cookie,
                                                            std::size_t max_entries, bool with_attributes) {
  const TimePoint until = instance_.deadline();
  auto handle_place = directories_.find(handle);
  if (handle_place == directories_.end()) co_return fail(ErrorCode::bad_handle);
  std::shared_ptr<OpenDirectory> directory = handle_place->second;
  if (cookie == 0) {
    directory->loaded = false;  // a listing from the start shows what is there now
    directory->shared_hash.clear();
  }
  const auto place_behind = [&directory](std::uint64_t position) {
    const auto place =
        std::upper_bound(directory->window.begin(), directory->window.end(), position,
                         [](std::uint64_t wanted, const DirectoryEntry& entry) { return wanted < entry.cookie; });
    return static_cast<std::size_t>(place - directory->window.begin());
  };
  bool filled = !with_attributes;
  // It takes more than two turns only if another reader of this stream loads other windows.
  while (store_.clock().now < until) {
    if (!directory->covers(cookie)) {
      Status loaded = co_await load_window(directory, cookie, with_attributes, until);
      if (!loaded) co_return tl::unexpected(loaded.error());
      continue;
    }
    const std::size_t first = place_behind(cookie);
    const std::size_t count = std::min(max_entries, directory->window.size() - first);
    if (filled || count == 0) {
      const auto from = directory->window.begin() + static_cast<std::ptrdiff_t>(first);
      std::vector<DirectoryEntry> result(from, from + static_cast<std::ptrdiff_t>(count));
      // Attributes of files that are open here go to the kernel by other answers, which are newer than this page
      // (kernel_pages.cpp).
      for (DirectoryEntry& entry : result) {
        const OpenPointer open = open_inodes_.find(entry.inode);
        if (open && open->kernel.is_used()) entry.attributes.reset();
        if (entry.attributes) entry.attributes->entry_version = entry.version;
        if (entry.attributes && S_ISREG(entry.attributes->mode))
          kernel_sizes_.note_given(entry.inode, entry.attributes->size);
      }
      co_return result;
    }
    Status attributes = co_await fill_attributes(directory, first, count, until);
    if (!attributes) co_return tl::unexpected(attributes.error());
    filled = true;
  }
  co_return fail(ErrorCode::timeout, "listing");
}

}  // namespace ringfs::fs

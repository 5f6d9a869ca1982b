// Opening, reading and writing files of `.ring/`.
#include "fs/control/control_handles.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <iterator>

namespace ringfs::fs {

Task<Result<Opened>> ControlHandles::open(Handle handle, Caller caller, InodeNumber inode, int flags) {
  Result<std::string> contents = co_await tree_.open(caller, inode, flags);
  if (!contents) co_return tl::unexpected(contents.error());
  Result<Attributes> attributes = co_await tree_.get_attributes(caller, inode);
  if (!attributes) co_return tl::unexpected(attributes.error());
  auto file = std::make_shared<OpenFile>();
  file->caller = caller;
  file->inode = inode;
  file->contents = std::move(*contents);
  if (ControlTree::is_stream(inode)) {
    file->stream = std::make_shared<EventStream>();
    file->stream->follows = (flags & O_NONBLOCK) == 0;
  }
  files_.emplace(handle, std::move(file));
  Opened opened;
  opened.attributes = *attributes;
  opened.handle = handle;
  opened.direct_io = true;
  co_return opened;
}

Task<Result<ReadResult>> ControlHandles::read(Handle handle, std::uint64_t offset, std::size_t size) {
  const std::shared_ptr<const OpenFile> file = files_.at(handle);
  ReadResult result;
  if (file->stream != nullptr) {
    Result<std::string> text = co_await tree_.read(file->stream, offset, size);
    if (!text) co_return tl::unexpected(text.error());
    if (!text->empty()) result.pieces.push_back(SharedBytes(std::move(*text)));
  } else if (offset < file->contents.size()) {
    result.pieces.push_back(SharedBytes(file->contents.substr(offset, size)));
  }
  co_return result;
}

Task<Result<std::size_t>> ControlHandles::write(Handle handle, SharedBytes bytes) {
  const std::shared_ptr<const OpenFile> file = files_.at(handle);
  Result<std::size_t> written = co_await tree_.write(file->caller, file->inode, bytes.str());
  co_return written;
}

Task<Result<Handle>> ControlHandles::open_directory(Handle handle, Caller caller, InodeNumber inode) {
  Result<std::vector<DirectoryEntry>> listed = co_await tree_.list(caller, inode);
  if (!listed) co_return tl::unexpected(listed.error());
  std::vector<DirectoryEntry> entries;
  auto dot = [&](std::string name, InodeNumber number) {
    DirectoryEntry entry;
    entry.name = std::move(name);
    entry.inode = number;
    entry.type = S_IFDIR;
    entries.push_back(std::move(entry));
  };
  dot(".", inode);
  // The kernel ignores the number of a directory's "..".
  dot("..", inode == ControlTree::root ? root_inode : ControlTree::root);
  std::move(listed->begin(), listed->end(), std::back_inserter(entries));
  for (std::size_t i = 0; i < entries.size(); ++i) entries[i].cookie = i + 1;
  directories_.emplace(handle, std::move(entries));
  co_return handle;
}

std::vector<DirectoryEntry> ControlHandles::read_directory(Handle handle, std::uint64_t cookie,
                                                           std::size_t max_entries) const {
  const std::vector<DirectoryEntry>& entries = directories_.at(handle);
  std::vector<DirectoryEntry> result;
  for (std::size_t i = cookie; i < entries.size() && result.size() < max_entries; ++i) result.push_back(entries[i]);
  return result;
}

void ControlHandles::release(Handle handle) {
  files_.erase(handle);
  directories_.erase(handle);
}

}  // namespace ringfs::fs

// The front: what belongs to `.ring/` goes to the control tree, the rest to the Volume.
#include "fs/file_system.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include "fs/control/control_tree.hpp"
#include "fs/control/ring_watch.hpp"
#include "fs/control/status.hpp"
#include "fs/volume.hpp"

namespace ringfs::fs {

namespace {

const std::string ring_name = ".ring";

struct ControlFile {
  Caller caller;  // who opened it
  InodeNumber inode = 0;
  std::string contents;
  std::shared_ptr<EventStream> stream;  // instead of the contents
};

struct ControlDirectory {
  std::vector<DirectoryEntry> entries;  // cookies 1, 2, ...
};

}  // namespace

class FileSystem::Implementation {
 public:
  Implementation(ObjectStore& object_store, RingView& ring_view, RingAdmin& admin, FileSystemOptions options)
      : store(object_store),
        ring(ring_view),
        control(ring_view, admin, object_store, options),
        volume(std::make_shared<Volume>(object_store, options)),
        status(ring_view) {}
  ~Implementation() { volume->abandon(); }

  // No names can be made or removed in `.ring`, nor `.ring` itself.
  static bool is_ring(InodeNumber parent, const std::string& name) {
    return ControlTree::owns(parent) || (parent == root_inode && name == ring_name);
  }

  ObjectStore& store;
  RingView& ring;
  ControlTree control;
  std::shared_ptr<Volume> volume;
  VolumeStatus status;
  std::map<Handle, std::shared_ptr<ControlFile>> control_files;
  std::map<Handle, std::shared_ptr<ControlDirectory>> control_directories;
};

FileSystem::FileSystem(ObjectStore& store, RingView& ring, RingAdmin& admin, FileSystemOptions options)
    : implementation_(std::make_unique<Implementation>(store, ring, admin, options)) {}
FileSystem::~FileSystem() = default;

Task<Status> FileSystem::start() { return implementation_->volume->start(); }
Task<Status> FileSystem::stop(TimePoint deadline) { return implementation_->volume->stop(deadline); }

void FileSystem::set_operation_timeout(Duration timeout) {
  implementation_->volume->set_operation_timeout(timeout);
  implementation_->control.set_operation_timeout(timeout);
}

void FileSystem::on_pages_changed(PagesListener listener) {
  implementation_->volume->on_pages_changed(std::move(listener));
}

Task<Result<Attributes>> FileSystem::lookup(Caller caller, InodeNumber parent, std::string name) {
  if (parent == root_inode && name == ring_name)
    return implementation_->control.get_attributes(caller, ControlTree::root);
  if (parent == ControlTree::root && name == "..") return implementation_->volume->get_attributes(root_inode);
  if (ControlTree::owns(parent)) return implementation_->control.lookup(caller, parent, std::move(name));
  return implementation_->volume->lookup(parent, std::move(name));
}

Task<Result<Attributes>> FileSystem::get_attributes(Caller caller, InodeNumber inode, std::optional<Handle>) {
  if (ControlTree::owns(inode)) return implementation_->control.get_attributes(caller, inode);
  return implementation_->volume->get_attributes(inode);
}

Task<Result<Attributes>> FileSystem::set_attributes(Caller caller, InodeNumber inode, SetAttributes changes,
                                                    std::optional<Handle>) {
  if (!ControlTree::owns(inode)) {
    Result<Attributes> attributes = co_await implementation_->volume->set_attributes(caller, inode, changes);
    co_return attributes;
  }
  // The shell truncates before it writes, touch sets times: both mean nothing here. The rest is refused.
  if (changes.mode || changes.uid || changes.gid) co_return fail(ErrorCode::not_permitted, "attributes of .ring");
  Result<Attributes> attributes = co_await implementation_->control.get_attributes(caller, inode);
  co_return attributes;
}

Task<Result<std::string>> FileSystem::read_link(Caller, InodeNumber inode) {
  if (ControlTree::owns(inode)) co_return fail(ErrorCode::invalid_argument, "not a symbolic link");
  Result<std::string> target = co_await implementation_->volume->read_link(inode);
  co_return target;
}

Task<Result<Attributes>> FileSystem::make_node(Caller caller, InodeNumber parent, std::string name, std::uint32_t mode,
                                               std::uint64_t device) {
  if (Implementation::is_ring(parent, name)) co_return fail(ErrorCode::not_permitted, ring_name);
  Result<Attributes> made = co_await implementation_->volume->make_node(caller, parent, std::move(name), mode, device);
  co_return made;
}

Task<Result<Attributes>> FileSystem::make_directory(Caller caller, InodeNumber parent, std::string name,
                                                    std::uint32_t mode) {
  if (Implementation::is_ring(parent, name)) co_return fail(ErrorCode::not_permitted, ring_name);
  Result<Attributes> made = co_await implementation_->volume->make_directory(caller, parent, std::move(name), mode);
  co_return made;
}

Task<Result<Attributes>> FileSystem::make_symlink(Caller caller, InodeNumber parent, std::string name,
                                                  std::string target) {
  if (Implementation::is_ring(parent, name)) co_return fail(ErrorCode::not_permitted, ring_name);
  Result<Attributes> made =
      co_await implementation_->volume->make_symlink(caller, parent, std::move(name), std::move(target));
  co_return made;
}

Task<Result<Attributes>> FileSystem::link(Caller, InodeNumber inode, InodeNumber parent, std::string name) {
  if (ControlTree::owns(inode) || Implementation::is_ring(parent, name))
    co_return fail(ErrorCode::not_permitted, ring_name);
  Result<Attributes> linked = co_await implementation_->volume->link(inode, parent, std::move(name));
  co_return linked;
}

Task<Status> FileSystem::unlink(Caller, InodeNumber parent, std::string name) {
  if (Implementation::is_ring(parent, name)) co_return fail(ErrorCode::not_permitted, ring_name);
  Status status = co_await implementation_->volume->unlink(parent, std::move(name));
  co_return status;
}

Task<Status> FileSystem::remove_directory(Caller, InodeNumber parent, std::string name) {
  if (Implementation::is_ring(parent, name)) co_return fail(ErrorCode::not_permitted, ring_name);
  Status status = co_await implementation_->volume->remove_directory(parent, std::move(name));
  co_return status;
}

Task<Status> FileSystem::rename(Caller, InodeNumber parent, std::string name, InodeNumber new_parent,
                                std::string new_name, unsigned flags) {
  bool ring = Implementation::is_ring(parent, name) || Implementation::is_ring(new_parent, new_name);
  if (ring) co_return fail(ErrorCode::not_permitted, ring_name);
  Status status =
      co_await implementation_->volume->rename(parent, std::move(name), new_parent, std::move(new_name), flags);
  co_return status;
}

Task<Result<Opened>> FileSystem::create(Caller caller, InodeNumber parent, std::string name, std::uint32_t mode,
                                        int flags) {
  if (Implementation::is_ring(parent, name)) co_return fail(ErrorCode::not_permitted, ring_name);
  Result<Opened> opened = co_await implementation_->volume->create(caller, parent, std::move(name), mode, flags);
  co_return opened;
}

Task<Result<Opened>> FileSystem::open(Caller caller, InodeNumber inode, int flags) {
  if (!ControlTree::owns(inode)) {
    Result<Opened> opened = co_await implementation_->volume->open(caller, inode, flags);
    co_return opened;
  }
  Result<std::string> contents = co_await implementation_->control.open(caller, inode, flags);
  if (!contents) co_return tl::unexpected(contents.error());
  Result<Attributes> attributes = co_await implementation_->control.get_attributes(caller, inode);
  if (!attributes) co_return tl::unexpected(attributes.error());
  auto file = std::make_shared<ControlFile>();
  file->caller = caller;
  file->inode = inode;
  file->contents = std::move(*contents);
  if (ControlTree::is_stream(inode)) {
    file->stream = std::make_shared<EventStream>();
    file->stream->follows = (flags & O_NONBLOCK) == 0;
  }
  Opened opened;
  opened.attributes = *attributes;
  opened.handle = implementation_->volume->next_handle();
  opened.direct_io = true;
  implementation_->control_files.emplace(opened.handle, std::move(file));
  co_return opened;
}

Task<Result<ReadResult>> FileSystem::read(Handle handle, std::uint64_t offset, std::size_t size) {
  auto place = implementation_->control_files.find(handle);
  if (place == implementation_->control_files.end()) {
    Result<ReadResult> result = co_await implementation_->volume->read(handle, offset, size);
    co_return result;
  }
  ReadResult result;
  if (place->second->stream != nullptr) {
    Result<std::string> text = co_await implementation_->control.read(place->second->stream, offset, size);
    if (!text) co_return tl::unexpected(text.error());
    if (!text->empty()) result.pieces.push_back(SharedBytes(std::move(*text)));
    co_return result;
  }
  const std::string& contents = place->second->contents;
  if (offset < contents.size()) result.pieces.push_back(SharedBytes(contents.substr(offset, size)));
  co_return result;
}

Task<Result<std::size_t>> FileSystem::write(Handle handle, std::uint64_t offset, SharedBytes bytes, WriteHow how) {
  auto place = implementation_->control_files.find(handle);
  if (place == implementation_->control_files.end()) {
    Result<std::size_t> result = co_await implementation_->volume->write(handle, offset, std::move(bytes), how);
    co_return result;
  }
  const std::shared_ptr<ControlFile> file = place->second;
  Result<std::size_t> result = co_await implementation_->control.write(file->caller, file->inode, bytes.str());
  co_return result;
}

Task<Status> FileSystem::flush(Handle handle) {
  if (implementation_->control_files.contains(handle)) co_return Status();
  Status status = co_await implementation_->volume->flush(handle);
  co_return status;
}

Task<Status> FileSystem::fsync(Handle handle) { return flush(handle); }

Task<void> FileSystem::release(Handle handle) {
  if (implementation_->control_files.erase(handle) > 0) co_return;
  co_await implementation_->volume->release(handle);
}

Task<Result<Handle>> FileSystem::open_directory(Caller caller, InodeNumber inode) {
  if (!ControlTree::owns(inode)) {
    Result<Handle> handle = co_await implementation_->volume->open_directory(inode);
    co_return handle;
  }
  Result<std::vector<DirectoryEntry>> listed = co_await implementation_->control.list(caller, inode);
  if (!listed) co_return tl::unexpected(listed.error());
  auto directory = std::make_shared<ControlDirectory>();
  auto dot = [&](std::string name, InodeNumber number) {
    DirectoryEntry entry;
    entry.name = std::move(name);
    entry.inode = number;
    entry.type = S_IFDIR;
    directory->entries.push_back(std::move(entry));
  };
  dot(".", inode);
  // The kernel ignores the number of a directory's "..".
  dot("..", inode == ControlTree::root ? root_inode : ControlTree::root);
  std::move(listed->begin(), listed->end(), std::back_inserter(directory->entries));
  for (std::size_t i = 0; i < directory->entries.size(); ++i) directory->entries[i].cookie = i + 1;
  const Handle handle = implementation_->volume->next_handle();
  implementation_->control_directories.emplace(handle, std::move(directory));
  co_return handle;
}

Task<Result<std::vector<DirectoryEntry>>> FileSystem::read_directory(Handle handle, std::uint64_t cookie,
                                                                     std::size_t max_entries, bool with_attributes) {
  auto place = implementation_->control_directories.find(handle);
  if (place == implementation_->control_directories.end()) {
    Result<std::vector<DirectoryEntry>> result =
        co_await implementation_->volume->read_directory(handle, cookie, max_entries, with_attributes);
    co_return result;
  }
  std::vector<DirectoryEntry> result;
  const std::vector<DirectoryEntry>& entries = place->second->entries;
  for (std::size_t i = cookie; i < entries.size() && result.size() < max_entries; ++i) result.push_back(entries[i]);
  co_return result;
}

Task<void> FileSystem::release_directory(Handle handle) {
  if (implementation_->control_directories.erase(handle) == 0) implementation_->volume->release_directory(handle);
  co_return;
}

Task<Result<FileSystemStatus>> FileSystem::status(Caller) {
  const TimePoint now = implementation_->store.clock().now;
  Result<FileSystemStatus> result = co_await implementation_->status.get(now, implementation_->volume->deadline());
  co_return result;
}

Task<Result<std::string>> FileSystem::describe(InodeNumber inode) {
  if (ControlTree::owns(inode)) co_return fail(ErrorCode::no_data, ring_name);
  const TimePoint deadline = implementation_->volume->deadline();
  Result<LoadedInode> loaded = co_await implementation_->volume->read_inode(inode, deadline);
  if (!loaded) co_return tl::unexpected(loaded.error());
  Result<std::string> text =
      co_await describe_inode(implementation_->ring, implementation_->store.partition_bits(), inode, *loaded, deadline);
  co_return text;
}

}  // namespace ringfs::fs

// The front: what belongs to `.ring/` goes to the control tree, the rest to the parts of the Volume.
#include "fs/file_system.hpp"

#include "fs/control/control_handles.hpp"
#include "fs/control/control_tree.hpp"
#include "fs/control/status.hpp"
#include "fs/volume.hpp"

namespace ringfs::fs {

namespace {

const std::string ring_name = ".ring";

// No names can be made or removed in `.ring`, nor `.ring` itself.
bool is_ring(InodeNumber parent, const std::string& name) {
  return ControlTree::owns(parent) || (parent == root_inode && name == ring_name);
}

template <class Answer>
Task<Answer> refuse(ErrorCode code, const char* what) {
  co_return fail(code, what);
}

template <class Answer>
Task<Answer> refuse_ring() {
  return refuse<Answer>(ErrorCode::not_permitted, ring_name.c_str());
}

template <class T>
Task<T> give(T value) {
  co_return value;
}

}  // namespace

struct FileSystem::Parts {
  Parts(ObjectStore& store, RingView& ring_view, RingAdmin& admin, FileSystemOptions options)
      : ring(ring_view),
        control(ring_view, admin, store, options),
        control_handles(control),
        volume(std::make_shared<Volume>(store, options)),
        status(ring_view) {}
  Parts(const Parts&) = delete;
  Parts& operator=(const Parts&) = delete;
  ~Parts() { volume->abandon(); }

  RingView& ring;
  ControlTree control;
  ControlHandles control_handles;
  std::shared_ptr<Volume> volume;
  SpaceStatus status;
};

FileSystem::FileSystem(ObjectStore& store, RingView& ring, RingAdmin& admin, FileSystemOptions options)
    : parts_(std::make_unique<Parts>(store, ring, admin, options)) {}
FileSystem::~FileSystem() = default;

Task<Status> FileSystem::start() { return parts_->volume->start(); }
Task<Status> FileSystem::stop(TimePoint deadline) { return parts_->volume->stop(deadline); }

void FileSystem::set_operation_timeout(Duration timeout) {
  parts_->volume->options.operation_timeout = timeout;
  parts_->control.set_operation_timeout(timeout);
}

void FileSystem::on_pages_changed(PagesListener listener) { parts_->volume->pages_changed = std::move(listener); }

void FileSystem::on_kernel_recall(KernelListener listener) { parts_->volume->kernel_leases.start(std::move(listener)); }

Duration FileSystem::keep_attributes(const Attributes& attributes) {
  return parts_->volume->kernel_leases.keep_attributes(attributes);
}

Duration FileSystem::keep_name(InodeNumber directory, const std::string& name, const Attributes& child) {
  return parts_->volume->kernel_leases.keep_name(directory, name, child);
}

bool FileSystem::is_open(InodeNumber inode) const {
  const OpenPointer open = parts_->volume->open_inodes.find(inode);
  return (open && open->kernel.is_used()) || parts_->volume->directories.is_open(inode);
}

void FileSystem::leases_are_void() { parts_->volume->kernel_leases.leases_are_void(); }

void FileSystem::loop_was_late(Duration late) { parts_->volume->kernel_leases.loop_was_late(late); }

void FileSystem::add_metrics(std::function<std::string()> text) { parts_->control.add_metrics(std::move(text)); }

const KernelLeaseCounters& FileSystem::kernel_leases() const { return parts_->volume->kernel_leases.counters(); }

Task<Result<Attributes>> FileSystem::lookup(Caller caller, InodeNumber parent, std::string name) {
  if (parent == root_inode && name == ring_name) return parts_->control.get_attributes(caller, ControlTree::root);
  if (parent == ControlTree::root && name == "..") return parts_->volume->names.get_attributes(root_inode);
  if (ControlTree::owns(parent)) return parts_->control.lookup(caller, parent, std::move(name));
  return parts_->volume->names.lookup(parent, std::move(name));
}

Task<Result<Attributes>> FileSystem::get_attributes(Caller caller, InodeNumber inode) {
  if (ControlTree::owns(inode)) return parts_->control.get_attributes(caller, inode);
  return parts_->volume->names.get_attributes(inode);
}

Task<Result<Attributes>> FileSystem::set_attributes(Caller caller, InodeNumber inode, SetAttributes changes) {
  if (!ControlTree::owns(inode)) return parts_->volume->names.set_attributes(caller, inode, changes);
  // The shell truncates before it writes, touch sets times: both mean nothing here. The rest is refused.
  if (!changes.mode && !changes.uid && !changes.gid) return parts_->control.get_attributes(caller, inode);
  return refuse<Result<Attributes>>(ErrorCode::not_permitted, "attributes of .ring");
}

Task<Result<std::string>> FileSystem::read_link(Caller, InodeNumber inode) {
  if (!ControlTree::owns(inode)) return parts_->volume->names.read_link(inode);
  return refuse<Result<std::string>>(ErrorCode::invalid_argument, "not a symbolic link");
}

Task<Result<Attributes>> FileSystem::make_node(Caller caller, InodeNumber parent, std::string name, std::uint32_t mode,
                                               std::uint64_t device) {
  if (is_ring(parent, name)) return refuse_ring<Result<Attributes>>();
  return parts_->volume->names.make_node(caller, parent, std::move(name), mode, device);
}

Task<Result<Attributes>> FileSystem::make_directory(Caller caller, InodeNumber parent, std::string name,
                                                    std::uint32_t mode) {
  if (is_ring(parent, name)) return refuse_ring<Result<Attributes>>();
  return parts_->volume->names.make_directory(caller, parent, std::move(name), mode);
}

Task<Result<Attributes>> FileSystem::make_symlink(Caller caller, InodeNumber parent, std::string name,
                                                  std::string target) {
  if (is_ring(parent, name)) return refuse_ring<Result<Attributes>>();
  return parts_->volume->names.make_symlink(caller, parent, std::move(name), std::move(target));
}

Task<Result<Attributes>> FileSystem::link(Caller, InodeNumber inode, InodeNumber parent, std::string name) {
  if (ControlTree::owns(inode) || is_ring(parent, name)) return refuse_ring<Result<Attributes>>();
  return parts_->volume->names.link(inode, parent, std::move(name));
}

Task<Status> FileSystem::unlink(Caller, InodeNumber parent, std::string name) {
  if (is_ring(parent, name)) return refuse_ring<Status>();
  return parts_->volume->names.unlink(parent, std::move(name));
}

Task<Status> FileSystem::remove_directory(Caller, InodeNumber parent, std::string name) {
  if (is_ring(parent, name)) return refuse_ring<Status>();
  return parts_->volume->names.remove_directory(parent, std::move(name));
}

Task<Status> FileSystem::rename(Caller, InodeNumber parent, std::string name, InodeNumber new_parent,
                                std::string new_name, unsigned flags) {
  if (is_ring(parent, name) || is_ring(new_parent, new_name)) return refuse_ring<Status>();
  return parts_->volume->names.rename(parent, std::move(name), new_parent, std::move(new_name), flags);
}

Task<Result<Opened>> FileSystem::create(Caller caller, InodeNumber parent, std::string name, std::uint32_t mode,
                                        int flags) {
  if (is_ring(parent, name)) return refuse_ring<Result<Opened>>();
  return parts_->volume->files.create(caller, parent, std::move(name), mode, flags);
}

Task<Result<Opened>> FileSystem::open(Caller caller, InodeNumber inode, int flags) {
  if (!ControlTree::owns(inode)) return parts_->volume->files.open(caller, inode, flags);
  return parts_->control_handles.open(parts_->volume->next_handle(), caller, inode, flags);
}

Task<Result<ReadResult>> FileSystem::read(Handle handle, std::uint64_t offset, std::size_t size) {
  if (parts_->control_handles.owns(handle)) return parts_->control_handles.read(handle, offset, size);
  return parts_->volume->files.read(handle, offset, size);
}

Task<Result<std::size_t>> FileSystem::write(Handle handle, std::uint64_t offset, SharedBytes bytes, WriteHow how) {
  if (parts_->control_handles.owns(handle)) return parts_->control_handles.write(handle, std::move(bytes));
  return parts_->volume->files.write(handle, offset, std::move(bytes), how);
}

Task<Status> FileSystem::flush(Handle handle) {
  if (parts_->control_handles.owns(handle)) return give(Status());
  return parts_->volume->files.flush(handle);
}

Task<void> FileSystem::release(Handle handle) {
  parts_->control_handles.release(handle);
  return parts_->volume->files.release(handle);
}

Task<Result<Handle>> FileSystem::open_directory(Caller caller, InodeNumber inode) {
  if (!ControlTree::owns(inode)) return parts_->volume->directories.open(inode);
  return parts_->control_handles.open_directory(parts_->volume->next_handle(), caller, inode);
}

Task<Result<std::vector<DirectoryEntry>>> FileSystem::read_directory(Handle handle, std::uint64_t cookie,
                                                                     std::size_t max_entries, bool with_attributes) {
  if (!parts_->control_handles.owns(handle))
    return parts_->volume->directories.read(handle, cookie, max_entries, with_attributes);
  Result<std::vector<DirectoryEntry>> entries = parts_->control_handles.read_directory(handle, cookie, max_entries);
  return give(std::move(entries));
}

Task<void> FileSystem::release_directory(Handle handle) {
  parts_->control_handles.release(handle);
  parts_->volume->directories.release(handle);
  co_return;
}

Task<Result<FileSystemStatus>> FileSystem::status() {
  return parts_->status.get(parts_->volume->now(), parts_->volume->deadline());
}

Task<Result<std::string>> FileSystem::describe(InodeNumber inode) {
  if (ControlTree::owns(inode)) co_return fail(ErrorCode::no_data, ring_name);
  const TimePoint deadline = parts_->volume->deadline();
  Result<LoadedInode> loaded = co_await parts_->volume->inodes.read(inode, deadline);
  if (!loaded) co_return tl::unexpected(loaded.error());
  const unsigned bits = parts_->volume->store.partition_bits();
  Result<std::string> text = co_await describe_inode(parts_->ring, bits, inode, *loaded, deadline);
  co_return text;
}

}  // namespace ringfs::fs

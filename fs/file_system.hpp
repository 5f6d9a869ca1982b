// File-system semantics over an ObjectStore, as the mount calls them. One instance a mount.
//
// Inode-based, as libfuse's low-level API. Names are bytes: 1..255 of anything but '/' and NUL. Permission checks are
// the kernel's (default_permissions, which includes sticky bits). Contents: writes are buffered per inode (bounded,
// max_dirty_bytes) and visible at once to every handle of this instance; flush() and fsync() return when they are
// durable on a majority; a failed background write is reported by the next write, flush or fsync of each handle. See
// docs/posix.md and docs/design.md#contents. Threads: one loop. Deadlines: every call ends within `operation_timeout`
// (default 30 s) with ErrorCode::timeout.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "dht/base/object_store.hpp"
#include "dht/base/ring/ring_admin.hpp"
#include "dht/base/ring/ring_view.hpp"
#include "dht/base/row_ages.hpp"

namespace ringfs::fs {

// 0 | 27 placement bits | 36 random bits (docs/design.md#inodes-and-names); the root is 1.
using InodeNumber = std::uint64_t;
inline constexpr InodeNumber root_inode = 1;
inline constexpr std::size_t max_name_bytes = 255;
inline constexpr std::size_t inline_limit = std::size_t{16} * 1024;  // contents up to here lie in the inode's partition
inline constexpr std::size_t chunk_bytes = 1 << 20;
inline constexpr std::size_t block_bytes = std::size_t{64} * 1024;
inline constexpr std::uint64_t max_file_bytes = std::uint64_t{1} << 50;

struct TimeSpec {  // nanoseconds since the epoch
  std::int64_t nanoseconds = 0;
};

struct Caller {
  uid_t uid = 0;
  gid_t gid = 0;
  pid_t pid = 0;
  mode_t umask = 0;

  // The permissions that a new file gets of `mode`.
  std::uint32_t permissions(std::uint32_t mode) const {
    return (mode & 07777U) & ~static_cast<std::uint32_t>(umask & 0777U);
  }
  // A change of a program's contents by this caller clears its set-user-id and set-group-id bits. Capabilities do not
  // arrive with requests: only root is taken to have CAP_FSETID.
  bool may_not_keep_set_id() const { return uid != 0; }
};

struct Attributes {
  InodeNumber inode = 0;
  std::uint32_t mode = 0;  // type and permissions, as st_mode
  std::uint32_t links = 0;
  uid_t uid = 0;
  gid_t gid = 0;
  std::uint64_t device = 0;  // st_rdev
  std::uint64_t size = 0;
  std::uint64_t blocks = 0;  // of 512 bytes
  TimeSpec accessed, modified, changed;
  std::uint64_t generation = 0;
  // Of the inode's row, if these are what the row says; 0: there is more to them (bytes that wait, for example).
  std::uint64_t version = 0;
  // Of the row of the entry that led here; 0: there is none, or it may not be kept.
  std::uint64_t entry_version = 0;
};

struct SetAttributes {
  std::optional<std::uint32_t> mode;  // permissions
  std::optional<uid_t> uid;
  std::optional<gid_t> gid;
  std::optional<std::uint64_t> size;
  std::optional<TimeSpec> accessed, modified;
  // No field at all is a chown to the present owner, which clears set-id bits.
  bool accessed_now = false, modified_now = false;
};

using Handle = std::uint64_t;  // of an open file or directory; never reused while the instance lives

struct Opened {
  Attributes attributes;
  Handle handle = 0;
  bool direct_io = false;   // do not cache in the kernel (.ring files, O_APPEND)
  bool keep_cache = false;  // contents unchanged since the kernel last read them through this instance
  bool no_flush = false;    // its close need not be told: nothing is written through it
};

struct DirectoryEntry {
  std::string name;
  InodeNumber inode = 0;
  std::uint32_t type = 0;     // S_IFMT bits
  std::uint64_t cookie = 0;   // read_directory from here gives the entries after this one
  std::uint64_t version = 0;  // of the entry's row; 0: it may not be kept
  std::optional<Attributes> attributes;
};

struct ReadResult {
  // In order; together at most as many bytes as asked for, fewer only at the end of the file.
  std::vector<SharedBytes> pieces;
};

struct WriteHow {
  // O_APPEND, O_SYNC and O_DSYNC as they are now: fcntl may have changed them since the open. None: as opened.
  std::optional<int> flags;
  // The write clears set-user-id and set-group-id bits (Caller::may_not_keep_set_id).
  bool clears_set_id = false;
};

struct FileSystemStatus {  // statfs
  std::uint64_t block_size = 65536, blocks = 0, free_blocks = 0, files = 0, free_files = 0;
};

struct FileSystemOptions {
  Duration operation_timeout = std::chrono::seconds(30);
  std::size_t max_dirty_bytes = 64 << 20;
  bool synchronous = false;  // every write is as if the descriptor had O_SYNC
  bool show_ring = false;
  uid_t owner = 0;  // of the mount: may use .ring beside root
};

// What the kernel must do with its pages of a file before an answer shows it the new contents.
struct PageChange {
  InodeNumber inode = 0;
  std::optional<std::uint64_t> from;   // it drops pages from this offset on; none: it drops none
  std::optional<std::uint64_t> until;  // up to this offset; none: up to the end
  struct Tail {
    std::uint64_t offset = 0;
    SharedBytes bytes;
  };
  // Then it takes these bytes into one page. Their end becomes its size, unless it knew a larger one.
  std::optional<Tail> tail;
};
using PagesListener = std::function<void(PageChange change, std::function<void()> done)>;

// What the kernel must ask again.
struct AttributesRecall {
  InodeNumber inode = 0;
  Duration left{};  // then it asks by itself
};
struct NameRecall {
  InodeNumber directory = 0;
  std::string name;
  InodeNumber child = 0;  // to which the name leads as far as the kernel knows
  Duration left{};
};
struct KernelRecall {
  std::vector<AttributesRecall> attributes;
  std::vector<NameRecall> names;  // together with the attributes of their children
  // By an operation of this mount: it may hold the directories of the names in the kernel.
  bool own_change = false;
};
using KernelListener = std::function<void(KernelRecall recall, std::function<void()> done)>;

struct KernelLeaseCounters {
  std::uint64_t attributes_kept = 0;      // answers with which the kernel was allowed to keep attributes
  std::uint64_t attributes_recalled = 0;  // inodes whose attributes were taken back: for others, and for own changes
  std::uint64_t names_kept = 0, names_recalled = 0;
};

class FileSystem {
 public:
  FileSystem(ObjectStore& store, RingView& ring, RingAdmin& admin, FileSystemOptions options);
  ~FileSystem();

  // Makes the root directory if this ring has none. Call first; again is harmless.
  Task<Status> start();
  // Flushes everything dirty, closes. After it only destruction. Gives up at `deadline` with what failed.
  Task<Status> stop(TimePoint deadline);

  void set_operation_timeout(Duration timeout);  // of operations that begin from now on

  // `listener` hears of open files whose contents changed in a way that the kernel cannot know. It returns at once and
  // calls `done` on the loop when the kernel has done it; answers that would show the change wait for that.
  void on_pages_changed(PagesListener listener);

  // With a listener, the kernel may keep attributes and names (fs/kernel_leases.hpp). It is told before they change,
  // returns at once, and calls `done` on the loop when the kernel has forgotten them. Null: no more.
  void on_kernel_recall(KernelListener listener);
  // How long the kernel may keep what an answer gives it, if the answer is written before the loop's next turn; zero:
  // it may not. It asks for each answer anew.
  Duration keep_attributes(const Attributes& attributes);
  Duration keep_name(InodeNumber directory, const std::string& name, const Attributes& child);
  // A handle of the file or directory is open here.
  bool is_open(InodeNumber inode) const;
  // The machine was suspended: what the kernel was allowed to keep is void. And how late the loop is at times.
  void leases_are_void();
  void loop_was_late(Duration late);
  const KernelLeaseCounters& kernel_leases() const;
  // More samples for `.ring/stats` and `.ring/metrics`, as Prometheus text.
  void add_metrics(std::function<std::string()> text);

  Task<Result<Attributes>> lookup(Caller caller, InodeNumber parent, std::string name);
  Task<Result<Attributes>> get_attributes(Caller caller, InodeNumber inode);
  Task<Result<Attributes>> set_attributes(Caller caller, InodeNumber inode, SetAttributes changes);
  Task<Result<std::string>> read_link(Caller caller, InodeNumber inode);

  // `mode` carries the type. The umask is applied here (caller.umask) if the kernel did not.
  Task<Result<Attributes>> make_node(Caller caller, InodeNumber parent, std::string name, std::uint32_t mode,
                                     std::uint64_t device);
  Task<Result<Attributes>> make_directory(Caller caller, InodeNumber parent, std::string name, std::uint32_t mode);
  Task<Result<Attributes>> make_symlink(Caller caller, InodeNumber parent, std::string name, std::string target);
  Task<Result<Attributes>> link(Caller caller, InodeNumber inode, InodeNumber parent, std::string name);
  Task<Status> unlink(Caller caller, InodeNumber parent, std::string name);
  Task<Status> remove_directory(Caller caller, InodeNumber parent, std::string name);
  // flags: 0, RENAME_NOREPLACE, RENAME_EXCHANGE.
  Task<Status> rename(Caller caller, InodeNumber parent, std::string name, InodeNumber new_parent, std::string new_name,
                      unsigned flags);

  // If the name exists by now: with O_EXCL the error is `exists`. Without, the file is opened if it is the caller's own
  // and its mode allows it. Else the error is stale_handle, and the kernel looks again and checks permissions.
  Task<Result<Opened>> create(Caller caller, InodeNumber parent, std::string name, std::uint32_t mode, int flags);
  Task<Result<Opened>> open(Caller caller, InodeNumber inode, int flags);
  Task<Result<ReadResult>> read(Handle handle, std::uint64_t offset, std::size_t size);
  Task<Result<std::size_t>> write(Handle handle, std::uint64_t offset, SharedBytes bytes, WriteHow how = {});
  Task<Status> flush(Handle handle);  // close() and fsync()
  Task<void> release(Handle handle);

  Task<Result<Handle>> open_directory(Caller caller, InodeNumber inode);
  // Entries after `cookie` (0: from the start, beginning with . and ..), at most `max_entries`.
  Task<Result<std::vector<DirectoryEntry>>> read_directory(Handle handle, std::uint64_t cookie, std::size_t max_entries,
                                                           bool with_attributes);
  Task<void> release_directory(Handle handle);

  Task<Result<FileSystemStatus>> status();

  // For `ringfs info PATH` and the virtual xattrs: partition, leader, replicas, chunks of an inode.
  Task<Result<std::string>> describe(InodeNumber inode);

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

// The errno for an error (never 0). The one table that does this.
int to_errno(ErrorCode code);

// One pass of the janitor over one partition: collects orphans and garbage whose time has come
// (docs/design.md#the-janitor); transactions that were left behind are finish_records' work
// (dht/net/client/lock_resolver.hpp). Run by the leader of the partition in the node process. Bounded work a pass.
struct JanitorReport {
  std::size_t orphans = 0, chunks = 0;
  std::size_t rows = 0;  // of orphans and garbage that were seen, also those that are too young
  bool more = false;     // stopped at the bound; call again soon
};
// `ages`: of the partition's rows (claims.hpp); without any nothing is due, and the report still says how many rows
// are there.
Task<Result<JanitorReport>> janitor_pass(ObjectStore& store, PartitionId partition, RowAges ages, TimePoint deadline);

}  // namespace ringfs::fs

// The file system without `.ring/`: FileSystem forwards here what the control tree does not own.
//
// One operation (or one concept) a file: lookup.cpp, inode.cpp, create.cpp, link.cpp, unlink.cpp, rename.cpp,
// listing.cpp for names; contents.cpp, flush.cpp, append.cpp, truncate.cpp, read.cpp, open.cpp, kernel_pages.cpp,
// kernel_sizes.cpp for contents; holds.cpp for files that are unlinked while open and bytes that wait. Background work
// keeps the Volume alive through a shared_ptr; the store must outlive the loop's work. Threads, errors and deadlines as
// FileSystem.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "fs/change_set.hpp"
#include "fs/handles.hpp"
#include "fs/hint_cache.hpp"

namespace ringfs::fs {

class Volume : public std::enable_shared_from_this<Volume> {
 public:
  Volume(ObjectStore& store, FileSystemOptions options);

  Task<Status> start();
  Task<Status> stop(TimePoint deadline);
  void abandon();  // no background work from now on
  void on_pages_changed(PagesListener listener) { pages_changed_ = std::move(listener); }

  Task<Result<Attributes>> lookup(InodeNumber parent, std::string name);
  Task<Result<Attributes>> get_attributes(InodeNumber inode);
  Task<Result<Attributes>> root_attributes();  // those last seen while the ring is silent
  Task<Result<Attributes>> set_attributes(Caller caller, InodeNumber inode, SetAttributes changes);
  Task<Result<std::string>> read_link(InodeNumber inode);

  Task<Result<Attributes>> make_node(Caller caller, InodeNumber parent, std::string name, std::uint32_t mode,
                                     std::uint64_t device);
  Task<Result<Attributes>> make_directory(Caller caller, InodeNumber parent, std::string name, std::uint32_t mode);
  Task<Result<Attributes>> make_symlink(Caller caller, InodeNumber parent, std::string name, std::string target);
  Task<Result<Attributes>> link(InodeNumber inode, InodeNumber parent, std::string name);
  Task<Status> unlink(InodeNumber parent, std::string name);
  Task<Status> remove_directory(InodeNumber parent, std::string name);
  Task<Status> rename(InodeNumber parent, std::string name, InodeNumber new_parent, std::string new_name,
                      unsigned flags);

  Task<Result<Opened>> create(Caller caller, InodeNumber parent, std::string name, std::uint32_t mode, int flags);
  Task<Result<Opened>> open(Caller caller, InodeNumber inode, int flags);
  Task<Result<ReadResult>> read(Handle handle, std::uint64_t offset, std::size_t size);
  Task<Result<std::size_t>> write(Handle handle, std::uint64_t offset, SharedBytes bytes, WriteHow how = {});
  Task<Status> flush(Handle handle);
  Task<void> release(Handle handle);

  Task<Result<Handle>> open_directory(InodeNumber inode);
  Task<Result<std::vector<DirectoryEntry>>> read_directory(Handle handle, std::uint64_t cookie, std::size_t max_entries,
                                                           bool with_attributes);
  void release_directory(Handle handle);
  bool owns_file(Handle handle) const { return files_.contains(handle); }
  bool owns_directory(Handle handle) const { return directories_.contains(handle); }
  Handle next_handle() { return ++last_handle_; }

  // Puts a hold on every unlinked inode that is open here, and looks what others did to open ones. Every 6 s by
  // itself.
  Task<Status> check_open_inodes(TimePoint deadline);

  Task<Result<LoadedInode>> read_inode(InodeNumber inode, TimePoint deadline);
  TimePoint deadline() const { return store_.clock().now + options_.operation_timeout; }
  void set_operation_timeout(Duration timeout) { options_.operation_timeout = timeout; }

 private:
  using OpenPointer = std::shared_ptr<OpenInode>;
  using Hint = std::pair<InodeNumber, std::string>;

  // Keeps an inode in open_ while an operation uses it.
  class InodePin {
   public:
    InodePin(Volume& volume, InodeNumber inode);
    InodePin(const InodePin&) = delete;
    ~InodePin();
    const OpenPointer& pointer() const { return pointer_; }

   private:
    Volume& volume_;
    OpenPointer pointer_;
  };
  friend class InodePin;

  struct FoundEntry {
    bool found = false;
    RowAddress row;  // where it lies
    EntryRow entry;
    SharedBytes value;
    std::optional<LoadedInode> inode;  // when it came in the same snapshot
  };
  struct NewNode {
    InodeNumber inode = 0;
    LoadedInode loaded;
  };

  std::int64_t now_ns() const { return store_.clock().stamp.microseconds * 1000; }  // of this mount's clock
  Duration left(TimePoint deadline) const { return std::max(Duration::zero(), deadline - store_.clock().now); }
  bool same_partition(InodeNumber left, InodeNumber right) const;
  OpenPointer find_open(InodeNumber inode) const;
  OpenPointer pin_inode(InodeNumber inode);
  void unpin_inode(const OpenPointer& open);
  void remember(InodeNumber inode, const InodeRow& row);
  Attributes overlay_attributes(InodeNumber inode, const InodeRow& row) const;
  void touch_directory(ChangeSet& changes, InodeNumber directory, std::int64_t now) const;

  // inode.cpp
  Task<Result<InodeRow>> directory_header(InodeNumber directory, TimePoint deadline);
  Task<Result<std::vector<std::optional<LoadedInode>>>> read_inodes(std::vector<InodeNumber> inodes,
                                                                    TimePoint deadline);
  static Task<void> read_inode_group(std::shared_ptr<Volume> self, std::vector<InodeNumber> inodes,
                                     std::vector<std::size_t> places,
                                     std::shared_ptr<std::vector<std::optional<LoadedInode>>> results,
                                     std::shared_ptr<std::optional<Error>> error, TimePoint deadline);
  // root.cpp
  static Task<void> listen_for_root(std::shared_ptr<Volume> self);
  // lookup.cpp
  // Names in directories of one partition, one snapshot.
  Task<Result<std::vector<FoundEntry>>> find_entries(std::vector<Hint> names, TimePoint deadline);
  void remember_listed(InodeNumber directory, std::shared_ptr<ListedNames> page);
  // Where a name's entry may lie, the place of new ones first.
  std::vector<RowAddress> entry_places(InodeNumber directory, const std::string& name) const;
  void require_no_entry(ChangeSet& changes, Check check, InodeNumber directory, const std::string& name) const;
  bool must_ask(const ReadRequest& request) const;
  void read_names_ahead(ReadRequest& request, InodeNumber parent, const std::string& name, bool asks);
  void read_way_on(ReadRequest& request, InodeNumber directory) const;
  Task<Result<FoundEntry>> find_entry(InodeNumber parent, std::string name, TimePoint deadline);
  Task<Result<Attributes>> lookup_dot(InodeNumber inode, bool above, TimePoint deadline);
  Task<Result<LoadedInode>> entry_inode(FoundEntry entry, TimePoint deadline);
  // create.cpp
  Task<Result<NewNode>> create_node(Caller caller, InodeNumber parent, std::string name, std::uint32_t mode,
                                    std::uint64_t device, std::string target, TimePoint deadline);
  static Task<void> confirm_directory(std::shared_ptr<Volume> self, InodeNumber directory, TimePoint deadline);
  // unlink.cpp
  Task<Error> directory_error(InodeNumber directory, TimePoint deadline);
  void drop_link(ChangeSet& changes, InodeNumber inode, const InodeRow& row, std::int64_t now) const;
  void drop_directory(ChangeSet& changes, InodeNumber inode, std::int64_t now) const;
  // rename.cpp
  struct RenameRequest {
    InodeNumber parent = 0;
    std::string name;
    InodeNumber new_parent = 0;
    std::string new_name;
    bool no_replace = false, exchange = false;
  };
  Task<Result<std::pair<FoundEntry, FoundEntry>>> find_both(RenameRequest request, TimePoint deadline);
  static Result<bool> check_rename(const RenameRequest& request, const FoundEntry& from, const FoundEntry& to);
  void move_entries(ChangeSet& changes, const RenameRequest& request, const FoundEntry& from, const FoundEntry& to,
                    std::int64_t now) const;
  Task<Result<bool>> rename_once(RenameRequest request, TimePoint deadline);  // false: somebody was faster, try again
  Task<Result<bool>> confirm_before_rename(InodeNumber directory, TimePoint deadline);
  Task<Status> check_not_inside(InodeNumber moved, InodeNumber destination, TimePoint deadline);

  // contents.cpp
  Task<Status> refresh(OpenPointer open, TimePoint deadline);
  enum class Origin { elsewhere, here };  // whose change it is
  void adopt(OpenInode& open, const LoadedInode& loaded, const ReadReply::Get* inline_row,
             Origin origin = Origin::elsewhere);
  // Around a commit that raises the change counter by one, so that adopt() knows it for ours.
  static void begin_own_change(OpenInode& open);
  void end_own_change(OpenInode& open, bool applied);
  void forget_read_ahead(OpenInode& open);
  void forget_read_ahead(OpenInode& open, std::uint64_t chunk);
  Task<Result<bool>> convert(OpenPointer open, TimePoint deadline);  // false: overtaken, refresh and look again
  Task<Result<bool>> account_segments(OpenPointer open, std::vector<std::uint64_t> chunks, TimePoint deadline);
  Task<Status> finish_cut(OpenPointer open, TimePoint deadline);
  struct CutResult {
    Status status;
    bool overtaken = false;
  };
  Task<Result<bool>> cut_segments(OpenPointer open, InodeRow row, TimePoint deadline);
  Task<Result<bool>> cut_chunks(OpenPointer open, InodeRow row, std::vector<std::uint64_t> chunks, TimePoint deadline);
  static Task<void> plan_cut(std::shared_ptr<Volume> self, std::string key, std::uint64_t keep,
                             std::shared_ptr<ChangeSet> plan, std::shared_ptr<CutResult> result, TimePoint deadline);
  static Task<void> carry_out_cut(std::shared_ptr<Volume> self, std::shared_ptr<ChangeSet> plan,
                                  std::shared_ptr<CutResult> result, TimePoint deadline);
  // kernel_pages.cpp
  struct Telling {
    bool by_answer = false;              // before an answer that gives the kernel the size
    bool size_follows = false;           // the kernel learns the size from what it has asked for itself
    bool raise = false;                  // it takes the end to be elsewhere
    std::optional<std::uint64_t> from;   // its pages from here on are not the contents
    std::optional<std::uint64_t> until;  // only those up to here: pages behind may be locked by what waits for this
    std::optional<PageChange::Tail> written;  // what was just written there
  };
  // kernel_sizes.cpp: every size that goes to the kernel by an answer, and what it surely has.
  void note_given(InodeNumber inode, std::uint64_t size);
  void note_disturbed(InodeNumber inode);  // answers on their way may be thrown away
  void note_sure(InodeNumber inode, std::uint64_t size);
  void note_written(OpenInode& open, std::uint64_t end);
  bool surely_has(InodeNumber inode, std::uint64_t size) const;
  bool lacks(const OpenInode& open, std::uint64_t end) const;
  bool may_have_dropped(const KernelView& kernel) const;
  static std::uint64_t end_of_file(const OpenInode& open);
  void pages_are_stale(OpenInode& open);
  static void note_read(OpenInode& open, std::uint64_t end);  // a read through the kernel's pages was cut there
  bool must_tell(const OpenInode& open) const;
  // Fails if the kernel could not be told in time, or its last page not be read.
  Task<Status> tell_kernel(OpenPointer open, Telling telling, TimePoint deadline);
  Task<Status> tell_change(OpenPointer open, PageChange change, TimePoint deadline);
  Task<Result<std::optional<PageChange::Tail>>> last_page(OpenPointer open, std::uint64_t end,
                                                          std::optional<PageChange::Tail> known, TimePoint deadline);
  // The attributes of an answer to the kernel: what it must hear before, it has heard.
  Task<Result<Attributes>> answer(InodeNumber inode, LoadedInode loaded, TimePoint deadline);
  // The same of something that has been done already, and is answered in any case.
  Task<Attributes> answer_done(InodeNumber inode, LoadedInode loaded, TimePoint deadline);
  Attributes give(InodeNumber inode, LoadedInode loaded);
  static Task<void> settle_pages(std::shared_ptr<Volume> self, OpenPointer open);
  // flush.cpp
  enum class Sending { full_chunks, everything };
  Task<Status> write_out(OpenPointer open, Sending what, TimePoint deadline);
  Task<Status> write_out_locked(OpenPointer open, Sending what, TimePoint deadline);  // open->mutex is held
  Task<Result<bool>> publish_inline(OpenPointer open, TimePoint deadline);
  Task<Result<bool>> send_and_publish(OpenPointer open, std::vector<std::uint64_t> chunks, TimePoint deadline);
  static Task<void> send_chunk(std::shared_ptr<Volume> self, OpenPointer open, std::uint64_t content,
                               std::uint64_t chunk, std::shared_ptr<Status> status, TimePoint deadline);
  void add_times(ChangeSet& changes, const OpenInode& open, std::optional<std::int64_t> modified) const;
  bool in_the_future(std::int64_t time) const;
  void move_modified(ChangeSet& changes, const OpenInode& open, std::int64_t modified) const;
  void note_times(InodeRow& row, const OpenInode& before, std::optional<std::int64_t> modified) const;
  std::int64_t write_time(const OpenInode& open) const;
  void start_background(OpenPointer open, Sending what);
  static Task<void> background(std::shared_ptr<Volume> self, OpenPointer open, Sending what);
  Task<Status> wait_for_room(OpenPointer open, std::size_t bytes, TimePoint deadline);
  void account(std::size_t before, std::size_t after);
  OpenPointer heaviest() const;
  Task<Status> flush_inode(OpenPointer open, TimePoint deadline);
  // What is committed with the size: on condition that the row is as known here, so that it is known afterwards.
  void publish(ChangeSet& changes, const OpenInode& open, std::optional<std::int64_t> modified,
               bool clears_set_id) const;
  static void clear_set_id(ChangeSet& changes, InodeNumber inode, const InodeRow& row);
  void note_published(OpenInode& open, std::optional<std::int64_t> modified, bool cleared_set_id,
                      std::uint64_t version);
  void drop_buffer(OpenInode& open);
  // append.cpp
  // Where they end in the file; those below give `overtaken` when others were faster.
  static constexpr std::uint64_t overtaken = 0;
  Task<Result<std::uint64_t>> append(OpenPointer open, SharedBytes bytes, bool clears_set_id, TimePoint deadline);
  Task<Result<std::uint64_t>> append_inline(OpenPointer open, SharedBytes bytes, bool clears_set_id,
                                            TimePoint deadline);
  Task<Result<std::uint64_t>> append_chunks(OpenPointer open, SharedBytes bytes, bool clears_set_id,
                                            TimePoint deadline);
  Task<Result<std::uint64_t>> append_under_lock(OpenPointer open, SharedBytes lock, SharedBytes bytes,
                                                bool clears_set_id, TimePoint deadline);
  Task<Result<SharedBytes>> take_append_lock(OpenPointer open, TimePoint deadline);
  Task<Result<bool>> append_to_chunk(OpenPointer open, std::uint64_t content, std::uint64_t offset, SharedBytes bytes,
                                     SharedBytes lock, TimePoint deadline);
  // truncate.cpp
  Task<Status> set_size(InodeNumber inode, std::uint64_t size, bool clears_set_id, TimePoint deadline);
  Task<Result<bool>> set_size_once(OpenPointer open, std::uint64_t size, bool clears_set_id, TimePoint deadline);
  // read.cpp
  Task<Status> know_contents(OpenPointer open, bool look, TimePoint deadline);
  // [offset, end) as one row of pieces, of what this instance holds and the ring; after know_contents().
  Task<Result<std::vector<SharedBytes>>> read_range(OpenPointer open, std::uint64_t offset, std::uint64_t end,
                                                    bool sequential, TimePoint deadline);
  Task<Result<std::vector<Extent>>> read_stored(OpenPointer open, std::uint64_t offset, std::size_t size,
                                                bool sequential, TimePoint deadline);
  Task<Result<std::shared_ptr<const StoredChunk>>> load_blocks(OpenPointer open, std::uint64_t chunk,
                                                               std::uint64_t first, std::uint64_t last,
                                                               TimePoint deadline);
  void start_read_ahead(OpenPointer open, std::uint64_t chunk);
  static Task<void> run_read_ahead(std::shared_ptr<Volume> self, OpenPointer open, std::uint64_t chunk);
  static Task<void> run_read_part(std::shared_ptr<Volume> self, OpenPointer open, std::uint64_t offset,
                                  std::size_t size, bool sequential,
                                  std::shared_ptr<Result<std::vector<Extent>>> result, TimePoint deadline);
  Task<Result<std::vector<Extent>>> read_from_chunk(OpenPointer open, std::uint64_t offset, std::size_t size,
                                                    bool sequential, TimePoint deadline);
  // open.cpp
  Result<std::shared_ptr<OpenFile>> file_of(Handle handle) const;
  Task<Status> settle_before_open(OpenPointer open, bool writes_pages, TimePoint deadline);
  Task<void> settle_written_pages(OpenPointer open, std::uint64_t end, TimePoint deadline);
  Opened add_handle(Caller caller, OpenPointer open, int flags);
  Task<Result<std::size_t>> write_at_end(std::shared_ptr<OpenFile> file, std::uint64_t offset, SharedBytes bytes,
                                         bool clears_set_id, TimePoint deadline);
  // listing.cpp
  void add_dots(OpenDirectory& directory, std::uint64_t cookie) const;
  Task<Status> load_window(std::shared_ptr<OpenDirectory> directory, std::uint64_t cookie, bool with_attributes,
                           TimePoint deadline);
  Task<Status> load_page(std::shared_ptr<OpenDirectory> directory, std::uint64_t cookie, bool with_attributes,
                         TimePoint deadline);
  Task<Status> load_whole(std::shared_ptr<OpenDirectory> directory, TimePoint deadline);
  // old_directories.cpp
  void start_conversion(InodeNumber directory);
  static Task<void> run_conversion(std::shared_ptr<Volume> self, InodeNumber directory);
  Task<Status> convert_entries(InodeNumber directory, TimePoint deadline);
  Task<Result<bool>> convert_some(InodeNumber directory, TimePoint deadline);  // false: nothing is left to do
  Task<Status> fill_attributes(std::shared_ptr<OpenDirectory> directory, std::size_t first, std::size_t count,
                               TimePoint deadline);
  // holds.cpp
  static Task<void> hold_loop(std::shared_ptr<Volume> self);
  static Task<void> settle_loop(std::shared_ptr<Volume> self);
  void settle_some();
  static Task<void> run_check(std::shared_ptr<Volume> self);
  static Task<void> check_group(std::shared_ptr<Volume> self, PartitionId partition, std::vector<InodeNumber> inodes,
                                std::shared_ptr<Status> status, TimePoint deadline);
  Task<Status> check_some(std::vector<InodeNumber> inodes, TimePoint deadline);
  static Task<void> flush_at_end(std::shared_ptr<Volume> self, OpenPointer open, std::shared_ptr<Status> status,
                                 TimePoint deadline);

  ObjectStore& store_;
  FileSystemOptions options_;
  const Uuid instance_;
  boost::asio::any_io_executor executor_;
  TaskGroup tasks_;
  bool stopping_ = false;
  Event stopped_;
  PagesListener pages_changed_;
  std::set<PartitionId> checking_;  // whose open inodes a round is looking at

  std::set<InodeNumber> converting_;  // directories whose entries are being brought into the order of their hashes
  HintCache<InodeNumber, std::shared_ptr<ListedNames>> listed_;
  HintCache<Hint, InodeNumber> names_;        // (parent, name) -> inode
  HintCache<InodeNumber, std::string> ways_;  // directory -> the name in it that led on to another directory last
  HintCache<InodeNumber, InodeRow> directories_seen_;   // what creating a child depends on
  HintCache<InodeNumber, std::int64_t> kernel_cached_;  // change counter whose contents the kernel may hold
  HintCache<InodeNumber, GivenSize> given_;

  std::optional<InodeRow> root_seen_;
  bool root_is_silent_ = false;

  std::unordered_map<InodeNumber, OpenPointer> open_;
  std::unordered_map<Handle, std::shared_ptr<OpenFile>> files_;
  std::unordered_map<Handle, std::shared_ptr<OpenDirectory>> directories_;
  Handle last_handle_ = 0;

  std::set<InodeNumber> unsettled_;  // open ones with dirty bytes or stale pages: settle_loop() looks after them
  std::size_t background_writes_ = 0;
  std::size_t dirty_bytes_ = 0;  // of all buffers
  Event room_;                   // dirty_bytes_ went down, or somebody failed
  std::size_t read_ahead_bytes_ = 0;
};

// Names of a component: 1..255 bytes of anything but '/' and NUL. Errors: name_too_long, invalid_argument, not_found
// (empty).
Status check_name(const std::string& name);
inline bool is_dot(const std::string& name) { return name == "." || name == ".."; }

}  // namespace ringfs::fs

// A mount and a janitor as coroutines, and what must be true of their files.
#include "tests/sim/workload/workload_files.hpp"

#include <fcntl.h>

#include <algorithm>
#include <string>
#include <vector>

#include "fs/claims.hpp"
#include "fs/janitor_faults.hpp"
#include "fs/volume.hpp"

namespace ringfs::sim {

namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::size_t most_kept = 6;
constexpr Duration look_interval = seconds(15);  // at open files, beside the mount's own looks
constexpr Duration longest_neglect = seconds(45);
constexpr double hasty_passes = 0.3;
constexpr Duration pass_limit = seconds(10);

bool is_final(const Error& error) {
  return error.code == ErrorCode::stale_handle || error.code == ErrorCode::not_found;
}

}  // namespace

class FilesWorkload::Implementation {
 public:
  Implementation(World& world, unsigned partition_bits, bool unclaimed)
      : world_(world), partition_bits_(partition_bits), unclaimed_(unclaimed) {}

  Task<void> work(ObjectStore* store);
  Task<void> look(ObjectStore* store);
  Task<void> clean(ObjectStore* store);
  void stop() { stopped_ = true; }

 private:
  struct Kept {
    fs::Handle handle = 0;
    std::string contents;
    TimePoint until{};
    bool neglected = false;  // its hold was not renewed for a while: it may be gone
  };
  Task<void> keep_one(fs::Volume* volume);
  Task<void> read_kept(fs::Volume* volume, ObjectStore* store);
  Task<void> grow_one(fs::Volume* volume);
  Task<void> make_directory(fs::Volume* volume);
  Task<Result<std::string>> read_all(fs::Volume* volume, fs::Handle handle);
  std::string fresh_name() { return "f" + std::to_string(next_++); }
  std::string random_bytes(std::size_t size);

  World& world_;
  const unsigned partition_bits_;
  const bool unclaimed_;
  bool stopped_ = false;
  std::uint64_t next_ = 1;
  std::vector<Kept> kept_;
  std::shared_ptr<fs::Volume> volume_;
  TimePoint looked_at_{};  // when holds were renewed last
};

FilesWorkload::FilesWorkload(World& world, unsigned partition_bits, bool unclaimed)
    : implementation_(std::make_unique<Implementation>(world, partition_bits, unclaimed)) {}
FilesWorkload::~FilesWorkload() = default;
Task<void> FilesWorkload::work(ObjectStore* store) { return implementation_->work(store); }
Task<void> FilesWorkload::look(ObjectStore* store) { return implementation_->look(store); }
Task<void> FilesWorkload::clean(ObjectStore* store) { return implementation_->clean(store); }
void FilesWorkload::stop() { implementation_->stop(); }

std::string FilesWorkload::Implementation::random_bytes(std::size_t size) {
  std::string bytes(size, '\0');
  for (char& byte : bytes) byte = static_cast<char>(world_.between(0, 255));
  return bytes;
}

Task<void> FilesWorkload::Implementation::work(ObjectStore* store) {
  auto volume = std::make_shared<fs::Volume>(*store, fs::FileSystemOptions{});
  for (Status started = fail(ErrorCode::timeout); !started && !stopped_;) started = co_await volume->start();
  looked_at_ = store->clock().now;
  volume_ = volume;
  while (!stopped_) {
    co_await store->sleep(world_.between(milliseconds(100), seconds(2)));
    const std::uint64_t die = world_.between(0, 9);
    if (die < 3)
      co_await keep_one(volume.get());
    else if (die < 6)
      co_await grow_one(volume.get());
    else if (die < 7)
      co_await make_directory(volume.get());
    else
      co_await read_kept(volume.get(), store);
  }
  volume_.reset();
  volume->abandon();
  Status ended = co_await volume->stop(store->clock().now + pass_limit);
  static_cast<void>(ended);  // nothing acknowledged is lost if it fails
}

Task<void> FilesWorkload::Implementation::look(ObjectStore* store) {
  while (!stopped_) {
    co_await store->sleep(look_interval);
    if (!volume_) continue;
    Status looked = co_await volume_->holds.check(store->clock().now + look_interval);
    world_.count(looked ? "files: holds renewed" : "files: holds not renewed");
    if (!looked) continue;
    for (Kept& kept : kept_) kept.neglected = kept.neglected || store->clock().now - looked_at_ > longest_neglect;
    looked_at_ = store->clock().now;
  }
}

// Makes a file that is open and unlinked.
Task<void> FilesWorkload::Implementation::keep_one(fs::Volume* volume) {
  if (kept_.size() >= most_kept) co_return;
  const std::string name = fresh_name();
  Kept kept;
  kept.contents = random_bytes(static_cast<std::size_t>(world_.between(1, 40000)));
  Result<fs::Opened> opened = co_await volume->files.create({}, fs::root_inode, name, 0644, O_RDWR | O_EXCL);
  if (!opened) co_return;
  kept.handle = opened->handle;
  Result<std::size_t> written = co_await volume->files.write(kept.handle, 0, SharedBytes(kept.contents));
  Status flushed = fail(ErrorCode::timeout);
  if (written) flushed = co_await volume->files.flush(kept.handle);
  Status unlinked = fail(ErrorCode::timeout);
  if (flushed) unlinked = co_await volume->names.unlink(fs::root_inode, name);
  if (!unlinked) {
    co_await volume->files.release(kept.handle);
    co_return;
  }
  kept.until = volume->deadline() + world_.between(seconds(10), seconds(200));
  kept_.push_back(std::move(kept));
}

Task<Result<std::string>> FilesWorkload::Implementation::read_all(fs::Volume* volume, fs::Handle handle) {
  std::string bytes;
  for (;;) {
    Result<fs::ReadResult> part = co_await volume->files.read(handle, bytes.size(), 1 << 20);
    if (!part) co_return tl::unexpected(part.error());
    const std::size_t before = bytes.size();
    for (const SharedBytes& piece : part->pieces) bytes += piece.view();
    if (bytes.size() == before) co_return bytes;
  }
}

Task<void> FilesWorkload::Implementation::read_kept(fs::Volume* volume, ObjectStore* store) {
  if (kept_.empty()) co_return;
  const auto place = static_cast<std::size_t>(world_.between(0, kept_.size() - 1));
  const Kept kept = kept_[place];
  Result<std::string> bytes = co_await read_all(volume, kept.handle);
  const bool neglected = kept_[place].neglected || store->clock().now - looked_at_ > longest_neglect;
  if (!bytes && is_final(bytes.error()) && !neglected)
    world_.violate("open files stay", "an unlinked file that is open: " + bytes.error().text());
  if (bytes && *bytes != kept.contents)
    world_.violate("open files stay", "an unlinked file that is open has other contents");
  if (bytes) world_.count("files: unlinked file read");
  if (store->clock().now < kept.until && !neglected) co_return;
  co_await volume->files.release(kept.handle);
  kept_.erase(kept_.begin() + static_cast<std::ptrdiff_t>(place));
}

// A file grows out of its inode into chunks, and is read through another handle.
Task<void> FilesWorkload::Implementation::grow_one(fs::Volume* volume) {
  const std::string name = fresh_name();
  Result<fs::Opened> opened = co_await volume->files.create({}, fs::root_inode, name, 0644, O_RDWR | O_EXCL);
  if (!opened) co_return;
  const fs::Handle handle = opened->handle;
  const fs::InodeNumber inode = opened->attributes.inode;
  std::string contents;
  bool closed = true;
  for (const std::size_t size :
       {static_cast<std::size_t>(world_.between(1, 9000)), static_cast<std::size_t>(world_.between(9000, 60000))}) {
    std::string part = random_bytes(size);
    Result<std::size_t> written = co_await volume->files.write(handle, contents.size(), SharedBytes(part));
    closed = closed && written;
    if (!written) break;
    contents += part;
    Status flushed = co_await volume->files.flush(handle);
    closed = closed && flushed;
  }
  co_await volume->files.release(handle);
  if (!closed) co_return;
  Result<fs::Opened> again = co_await volume->files.open({}, inode, O_RDONLY);
  if (!again) co_return;
  const fs::Handle reading = again->handle;
  Result<std::string> bytes = co_await read_all(volume, reading);
  co_await volume->files.release(reading);
  if (!bytes) co_return;
  world_.count("files: grown file read");
  if (*bytes != contents) world_.violate("closed files are whole", name + " has other contents than were written");
  Status unlinked = co_await volume->names.unlink(fs::root_inode, name);
  static_cast<void>(unlinked);
}

Task<void> FilesWorkload::Implementation::make_directory(fs::Volume* volume) {
  const std::string name = fresh_name();
  Result<fs::Attributes> made = co_await volume->names.make_directory({}, fs::root_inode, name, 0755);
  if (!made) co_return;
  Result<fs::Attributes> inside = co_await volume->names.make_directory({}, made->inode, "in", 0755);
  // No answer, or a majority of the disks became full in between: that says nothing about the directory.
  const bool may_fail =
      !inside && (inside.error().code == ErrorCode::timeout || inside.error().code == ErrorCode::no_space);
  if (!inside && !may_fail) {
    world_.violate("directories are whole", name + " was made, and in it nothing can be: " + inside.error().text());
  }
  if (inside) world_.count("files: directory made and used");
}

Task<void> FilesWorkload::Implementation::clean(ObjectStore* store) {
  fs::Claims claims;
  for (std::uint32_t next = 0; !stopped_; ++next) {
    co_await store->sleep(world_.between(milliseconds(50), milliseconds(400)));
    const auto partition = static_cast<PartitionId>(next % (1u << partition_bits_));
    Result<RowAges> ages = co_await claims.claim(*store, partition, store->clock().now + pass_limit);
    if (!ages) continue;
    fs::JanitorFaults faults;
    faults.hasty = world_.chance(hasty_passes);
    faults.unclaimed = unclaimed_;
    Result<fs::JanitorReport> report =
        co_await fs::janitor_pass(*store, partition, *ages, store->clock().now + pass_limit, faults);
    if (!report) continue;
    for (std::size_t i = 0; i < report->orphans; ++i) world_.count("files: orphan collected");
    for (std::size_t i = 0; i < report->chunks; ++i) world_.count("files: chunk collected");
  }
}

}  // namespace ringfs::sim

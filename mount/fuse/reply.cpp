// Answers to the kernel, and its interrupts.
#include "mount/fuse/reply.hpp"

#include <sys/stat.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <cerrno>

#include "fs/control/control_tree.hpp"

namespace ringfs::mount {
namespace {

constexpr std::size_t max_reply_pieces = 512;  // UIO_MAXIOV is 1024; more pieces are joined

timespec to_timespec(fs::TimeSpec time) {
  constexpr std::int64_t second = 1'000'000'000;
  std::int64_t seconds = time.nanoseconds / second;
  std::int64_t rest = time.nanoseconds % second;
  if (rest < 0) {
    rest += second;
    --seconds;
  }
  return timespec{static_cast<time_t>(seconds), static_cast<long>(rest)};
}

}  // namespace

struct stat to_stat(const fs::Attributes& attributes) {
  struct stat result {};
  result.st_ino = attributes.inode;
  result.st_mode = attributes.mode;
  result.st_nlink = attributes.links;
  result.st_uid = attributes.uid;
  result.st_gid = attributes.gid;
  result.st_rdev = attributes.device;
  result.st_size = static_cast<off_t>(attributes.size);
  result.st_blocks = static_cast<blkcnt_t>(attributes.blocks);
  result.st_blksize = static_cast<blksize_t>(fs::block_bytes);
  result.st_atim = to_timespec(attributes.accessed);
  result.st_mtim = to_timespec(attributes.modified);
  result.st_ctim = to_timespec(attributes.changed);
  return result;
}

fs::Caller caller_of(fuse_req_t request) {
  const fuse_ctx* context = fuse_req_ctx(request);
  return fs::Caller{context->uid, context->gid, context->pid, context->umask};
}

Request::Request(fuse_req_t request, Kind kind, boost::asio::any_io_executor executor, KernelCache& cache)
    : request_(request), kind_(kind), cache_(cache), caller_(caller_of(request)), executor_(std::move(executor)) {}

Request::~Request() {
  if (!answered()) error(EIO);
}

void Request::listen_for_interrupts() {
  if (kind_ != Kind::mutation && !answered()) fuse_req_interrupt_func(request_, &Request::on_interrupt, this);
}

// libfuse calls this inside its own locks, so the work is posted. It never calls it after the answer, so `self` lives.
void Request::on_interrupt(fuse_req_t, void* self) {
  auto* request = static_cast<Request*>(self);
  std::weak_ptr<Request> weak = request->weak_from_this();
  boost::asio::post(request->executor_, [weak] {
    const RequestPointer pointer = weak.lock();
    if (!pointer || pointer->answered()) return;
    if (pointer->kind_ == Kind::wait) return pointer->interrupt();
    if (pointer->kind_ == Kind::command) return pointer->cancellation_.emit(boost::asio::cancellation_type::total);
    if (pointer->timeout_) return;
    pointer->timeout_.emplace(pointer->executor_);
    pointer->timeout_->expires_after(interrupt_timeout);
    pointer->timeout_->async_wait([weak](const boost::system::error_code& cancelled) {
      const RequestPointer late = weak.lock();
      if (!cancelled && late && !late->answered()) late->error(EINTR);
    });
  });
}

void Request::interrupt() {
  error(EINTR);
  cancellation_.emit(boost::asio::cancellation_type::total);
}

fuse_req_t Request::take() {
  timeout_.reset();
  return std::exchange(request_, nullptr);
}

fuse_entry_param Request::entry_of(const fs::Attributes& attributes, double attributes_timeout, double name_timeout) {
  fuse_entry_param entry{};
  entry.ino = attributes.inode;
  entry.generation = attributes.generation;
  entry.attr = to_stat(attributes);
  entry.attr_timeout = attributes_timeout;
  entry.entry_timeout = name_timeout;
  return entry;
}

// An answer that the kernel took counts one lookup of the inode.
bool Request::named(fs::InodeNumber inode, bool taken) {
  if (taken && !fs::ControlTree::owns(inode)) cache_.known().named(inode, std::chrono::steady_clock::now());
  return taken;
}

bool Request::error(int number) { return !answered() && fuse_reply_err(take(), number) == 0; }

bool Request::entry(const StaleMarks::Name& name, const fs::Attributes& attributes) {
  if (answered()) return false;
  const double attributes_timeout = cache_.attributes_timeout(attributes);
  const fuse_entry_param entry = entry_of(attributes, attributes_timeout, cache_.name_timeout(name, attributes));
  cache_.marks().looked_up(name, attributes.inode, caller_.pid, std::chrono::steady_clock::now());
  return named(attributes.inode, fuse_reply_entry(take(), &entry) == 0);
}

bool Request::no_entry(const StaleMarks::Name& name, const Error& error) {
  if (error.code == ErrorCode::not_found)
    cache_.marks().looked_up(name, std::nullopt, caller_.pid, std::chrono::steady_clock::now());
  return this->error(error);
}

bool Request::made(const fs::Attributes& attributes) {
  if (answered()) return false;
  const double timeout = cache_.loose_timeout(attributes);
  const fuse_entry_param entry = entry_of(attributes, timeout, timeout);
  return named(attributes.inode, fuse_reply_entry(take(), &entry) == 0);
}

bool Request::attributes(const fs::Attributes& attributes) {
  if (answered()) return false;
  const struct stat attr = to_stat(attributes);
  return fuse_reply_attr(take(), &attr, cache_.attributes_timeout(attributes)) == 0;
}

bool Request::set_attributes(const fs::Attributes& attributes) {
  if (answered()) return false;
  const struct stat attr = to_stat(attributes);
  return fuse_reply_attr(take(), &attr, cache_.loose_timeout(attributes)) == 0;
}

bool Request::created(const fs::Attributes& attributes, const fuse_file_info& info) {
  if (answered()) return false;
  const double timeout = cache_.loose_timeout(attributes);
  const fuse_entry_param entry = entry_of(attributes, timeout, timeout);
  return named(attributes.inode, fuse_reply_create(take(), &entry, &info) == 0);
}

bool Request::opened(const fuse_file_info& info) { return !answered() && fuse_reply_open(take(), &info) == 0; }

bool Request::written(std::size_t bytes) { return !answered() && fuse_reply_write(take(), bytes) == 0; }

bool Request::link_target(const std::string& target) {
  return !answered() && fuse_reply_readlink(take(), target.c_str()) == 0;
}

bool Request::buffer(const std::string& bytes) {
  return !answered() && fuse_reply_buf(take(), bytes.data(), bytes.size()) == 0;
}

bool Request::data(const fs::ReadResult& result) {
  if (answered()) return false;
  if (result.pieces.size() > max_reply_pieces) {
    std::string joined;
    for (const SharedBytes& piece : result.pieces) joined.append(piece.view());
    return buffer(joined);
  }
  std::vector<iovec> pieces;
  pieces.reserve(result.pieces.size());
  for (const SharedBytes& piece : result.pieces) {
    if (!piece.empty()) pieces.push_back(iovec{const_cast<char*>(piece.data()), piece.size()});
  }
  return fuse_reply_iov(take(), pieces.data(), static_cast<int>(pieces.size())) == 0;
}

bool Request::file_system_status(const fs::FileSystemStatus& status) {
  if (answered()) return false;
  struct statvfs result {};
  result.f_bsize = result.f_frsize = status.block_size;
  result.f_blocks = status.blocks;
  result.f_bfree = result.f_bavail = status.free_blocks;
  result.f_files = status.files;
  result.f_ffree = result.f_favail = status.free_files;
  result.f_namemax = fs::max_name_bytes;
  return fuse_reply_statfs(take(), &result) == 0;
}

bool Request::listing(fs::InodeNumber directory, const std::vector<fs::DirectoryEntry>& entries, std::size_t size,
                      bool with_attributes) {
  if (answered()) return false;
  std::vector<fs::InodeNumber> names;
  std::string bytes(size, '\0');
  std::size_t used = 0;
  for (const fs::DirectoryEntry& entry : entries) {
    std::size_t needed = 0;
    // For . and .. the kernel counts no lookup.
    const bool is_named = with_attributes && entry.attributes && entry.name != "." && entry.name != "..";
    if (with_attributes) {
      // ino 0 means that no attributes are given: the kernel looks the name up when it needs them.
      fuse_entry_param parameters{};
      if (is_named) {
        const double attributes_timeout = cache_.attributes_timeout(*entry.attributes);
        parameters = entry_of(*entry.attributes, attributes_timeout,
                              cache_.name_timeout({directory, entry.name}, *entry.attributes));
      }
      parameters.attr.st_ino = entry.inode;
      parameters.attr.st_mode = entry.attributes ? entry.attributes->mode : entry.type;
      needed = fuse_add_direntry_plus(request_, bytes.data() + used, size - used, entry.name.c_str(), &parameters,
                                      static_cast<off_t>(entry.cookie));
    } else {
      struct stat attr {};
      attr.st_ino = entry.inode;
      attr.st_mode = entry.type;
      needed = fuse_add_direntry(request_, bytes.data() + used, size - used, entry.name.c_str(), &attr,
                                 static_cast<off_t>(entry.cookie));
    }
    if (needed > size - used) break;
    used += needed;
    if (is_named) names.push_back(entry.inode);
  }
  const bool taken = fuse_reply_buf(take(), bytes.data(), used) == 0;
  for (const fs::InodeNumber inode : names) this->named(inode, taken);
  return taken;
}

}  // namespace ringfs::mount

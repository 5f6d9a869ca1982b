// Blocks that are taken, written, given back and used again, in step with the transactions of the database.
#include "nodes/store/files/payload_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace ringfs::nodes {

namespace {

// The table may name blocks beyond the end of the file: those of a snapshot that was being staged when power failed.
// They cannot lie further beyond it than this.
constexpr std::uint64_t max_lost_bytes = std::uint64_t{1} << 36;
constexpr std::uint64_t start_writing_bytes = 2 << 20;

// The file must exist if a payload lies in it.
std::filesystem::path file_of(const std::filesystem::path& directory, Connection& connection) {
  std::filesystem::path file = directory / payload_file_name;
  if (std::filesystem::exists(file)) return file;
  Statement statement(connection, "SELECT 1 FROM payload WHERE id >= ? LIMIT 1");
  Query query(statement, PayloadFile::first_id);
  if (query.step()) throw StoreFailure(ErrorCode::corrupt, file.string() + " is missing");
  return file;
}

}  // namespace

PayloadFile::PayloadFile(const std::filesystem::path& directory, Connection& connection)
    : path_(file_of(directory, connection)),
      descriptor_(open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)),
      holes_(path_, descriptor_.value, block_bytes) {
  struct stat status {};
  if (descriptor_.value < 0 || fstat(descriptor_.value, &status) != 0) file_failed(path_, errno);
  length_ = static_cast<std::uint64_t>(status.st_size);
  take_what_is_named(connection);
  const std::uint64_t needed = blocks_.end() * block_bytes;
  if (length_ > needed) {
    if (ftruncate(descriptor_.value, static_cast<off_t>(needed)) != 0) file_failed(path_, errno);
    length_ = needed;
  }
  holes_.find(length_ / block_bytes);
}

PayloadFile::Extent PayloadFile::extent_of(PayloadId id) {
  const auto place = static_cast<std::uint64_t>(id - first_id);
  return {place >> count_bits, place & ((1U << count_bits) - 1)};
}

PayloadId PayloadFile::id_of(const Extent& extent) {
  return first_id + static_cast<PayloadId>(extent.first << count_bits | extent.count);
}

void PayloadFile::take_what_is_named(Connection& connection) {
  Statement statement(connection, "SELECT id FROM payload WHERE id >= ? ORDER BY id");
  Query query(statement, first_id);
  while (query.step()) {
    const Extent extent = extent_of(query.integer(0));
    const bool plausible = extent.count > 0 && extent.first < (length_ + max_lost_bytes) / block_bytes;
    if (plausible && blocks_.take_at(extent.first, extent.count)) continue;
    throw StoreFailure(ErrorCode::corrupt, "payload " + std::to_string(query.integer(0)) +
                                               " lies where no payload can, or where another one does");
  }
}

std::string PayloadFile::read(PayloadId id, std::uint64_t size) const {
  const Extent extent = extent_of(id);
  auto damaged = [&](const std::string& what) {
    throw StoreFailure(ErrorCode::corrupt, "payload " + std::to_string(id) + ": " + what);
  };
  if (size > extent.count * block_bytes) damaged("larger than its place");
  std::string bytes(size, '\0');
  for (std::size_t done = 0; done < size;) {
    ssize_t count = pread(descriptor_.value, bytes.data() + done, size - done,
                          static_cast<off_t>(extent.first * block_bytes + done));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) file_failed(path_, errno);
    if (count == 0) damaged(path_.string() + " ends before it");
    done += static_cast<std::size_t>(count);
  }
  return bytes;
}

PayloadId PayloadFile::write(std::string_view bytes) {
  const std::uint64_t count = (bytes.size() + block_bytes - 1) / block_bytes;
  const Extent extent{blocks_.take(count), count};
  written_now_.push_back(extent);
  holes_.written(extent.first, extent.count);
  // Whole blocks: the kernel would have to read the rest of a block that is written in part.
  static constexpr std::array<char, block_bytes> zeros{};
  const std::size_t total = count * block_bytes;
  const auto offset = static_cast<off_t>(extent.first * block_bytes);
  for (std::size_t done = 0; done < total;) {
    const std::size_t of_bytes = std::min(done, bytes.size());
    const std::size_t of_zeros = done - of_bytes;
    std::array<iovec, 2> pieces{{{const_cast<char*>(bytes.data()) + of_bytes, bytes.size() - of_bytes},
                                 {const_cast<char*>(zeros.data()), total - bytes.size() - of_zeros}}};
    ssize_t written = pwritev(descriptor_.value, pieces.data(), pieces.size(), offset + static_cast<off_t>(done));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) file_failed(path_, errno);
    done += static_cast<std::size_t>(written);
  }
  length_ = std::max(length_, extent.first * block_bytes + total);
  unsynced_bytes_ += total;
  unstarted_bytes_ += total;
  if (unstarted_bytes_ >= start_writing_bytes) {
    unstarted_bytes_ = 0;
    // Starts writing, so that a sync has little left to do. A hint: the sync reports errors of the disk.
    static_cast<void>(sync_file_range(descriptor_.value, 0, 0, SYNC_FILE_RANGE_WRITE));
  }
  return id_of(extent);
}

void PayloadFile::give_back(PayloadId id) { given_back_now_.push_back(extent_of(id)); }

void PayloadFile::sync() {
  if (unsynced_bytes_ == 0) return;
  if (fdatasync(descriptor_.value) != 0)
    throw StoreFailure(ErrorCode::io_error, "sync of " + path_.string() + ": " + std::strerror(errno));
  unsynced_bytes_ = unstarted_bytes_ = 0;
}

void PayloadFile::committed() {
  std::uint64_t commit = 0;
  {
    std::lock_guard lock(mutex_);
    commit = ++commits_;
  }
  for (const Extent& extent : given_back_now_) {
    given_back_.push_back({commit, extent});
    given_back_blocks_ += extent.count;
  }
  given_back_now_.clear();
  written_now_.clear();
}

void PayloadFile::rolled_back() {
  for (const Extent& extent : written_now_) blocks_.give_back(extent.first, extent.count);
  written_now_.clear();
  given_back_now_.clear();
}

void PayloadFile::durable() {
  std::uint64_t through = 0;  // blocks that were given back up to this commit can be used again
  {
    std::lock_guard lock(mutex_);
    through = readers_.empty() ? commits_ : *readers_.begin();
  }
  while (!given_back_.empty() && given_back_.front().commit <= through) {
    const Extent& extent = given_back_.front().extent;
    blocks_.give_back(extent.first, extent.count);
    given_back_blocks_ -= extent.count;
    given_back_.pop_front();
  }
}

std::uint64_t PayloadFile::free_bytes() const {
  const std::uint64_t used = (blocks_.taken() + holes_.count()) * block_bytes;
  return length_ > used ? length_ - used : 0;
}

bool PayloadFile::shrink(std::uint64_t keep_bytes) {
  const std::uint64_t free = free_bytes();
  if (free <= keep_bytes) return false;
  const std::uint64_t surplus = (free - keep_bytes) / block_bytes * block_bytes;
  const std::uint64_t tail = length_ - std::min(length_, blocks_.end() * block_bytes);
  if (const std::uint64_t cut = std::min(surplus, tail); cut > 0) {
    if (ftruncate(descriptor_.value, static_cast<off_t>(length_ - cut)) != 0) file_failed(path_, errno);
    length_ -= cut;
    holes_.cut(length_ / block_bytes);
    return free_bytes() > keep_bytes;
  }
  const std::uint64_t most = std::min(surplus, max_step_bytes) / block_bytes;
  return holes_.punch(blocks_, length_ / block_bytes, most) > 0 && free_bytes() > keep_bytes;
}

PayloadFile::Reading::Reading(PayloadFile& file) : file_(file) {
  std::lock_guard lock(file_.mutex_);
  since_ = file_.readers_.insert(file_.commits_);
}

PayloadFile::Reading::~Reading() {
  std::lock_guard lock(file_.mutex_);
  file_.readers_.erase(since_);
}

}  // namespace ringfs::nodes

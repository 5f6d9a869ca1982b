// The state of one database below SQLite, under its mutex.
#include "nodes/store/files/database_files.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "dht/base/hash.hpp"
#include "nodes/store/files/first_page.hpp"

namespace ringfs::nodes {

// One map for the process, as for SQLite's file layers: what is open, by path.
std::shared_ptr<DatabaseFiles> DatabaseFiles::of(const std::string& database) {
  static std::mutex mutex;
  static std::map<std::string, std::weak_ptr<DatabaseFiles>> open;
  std::lock_guard lock(mutex);
  std::erase_if(open, [](const auto& one) { return one.second.expired(); });
  std::weak_ptr<DatabaseFiles>& known = open[database];
  std::shared_ptr<DatabaseFiles> files = known.lock();
  if (!files) known = files = std::make_shared<DatabaseFiles>(database);
  return files;
}

void DatabaseFiles::learn_layout(std::string_view header) {
  std::lock_guard lock(mutex_);
  layout_ = page_layout(header);
}

std::optional<PageLayout> DatabaseFiles::layout() const {
  std::lock_guard lock(mutex_);
  return layout_;
}

void DatabaseFiles::work_around_damage() {
  std::lock_guard lock(mutex_);
  if (std::exchange(around_damage_, true)) return;
  first_page_ = read_first_page(database_);
  if (first_page_) layout_ = page_layout(*first_page_);
}

Status DatabaseFiles::open_wal(bool heed_mark) {
  std::lock_guard lock(mutex_);
  if (wal_read_) return {};
  const WalDamage damage = around_damage_ ? WalDamage::worked_around
                           : heed_mark    ? WalDamage::refused
                                          : WalDamage::ignored;
  Result<WalContents> read = read_wal(database_, damage);
  if (!read) return tl::unexpected<Error>(read.error());
  marked_ = read_mark(database_).value_or(WalMark{});
  if (read->header) {
    frame_page_bytes_ = read->header->page_bytes;
    salts_ = read->header->salts;
  }
  frames_ = std::move(read->pages);
  committed_ = read->committed;
  database_pages_ = read->database_pages;
  around_ = std::move(*read);
  wal_read_ = true;
  return {};
}

bool DatabaseFiles::wal_open() const {
  std::lock_guard lock(mutex_);
  return wal_read_;
}

std::optional<std::uint32_t> DatabaseFiles::committed_pages() const {
  std::lock_guard lock(mutex_);
  if (committed_ == 0) return std::nullopt;
  return database_pages_;
}

std::uint32_t DatabaseFiles::frame_page_bytes() const {
  std::lock_guard lock(mutex_);
  return frame_page_bytes_;
}

void DatabaseFiles::started_over(std::string_view header) {
  std::optional<WalHeader> decoded = decode_wal_header(header);
  std::lock_guard lock(mutex_);
  frames_.clear();
  // The earlier transactions are in the database now, so its size is asked of the file.
  committed_ = 0;
  database_pages_ = 0;
  frame_page_bytes_ = decoded ? decoded->page_bytes : 0;
  salts_ = decoded ? decoded->salts : 0;
}

void DatabaseFiles::frame_written(std::uint64_t frame, std::uint64_t sum) {
  std::lock_guard lock(mutex_);
  if (frames_.size() <= frame) frames_.resize(frame + 1);
  frames_[frame] = sum;
}

void DatabaseFiles::transaction_written(std::uint64_t frames, std::uint32_t database_pages) {
  std::lock_guard lock(mutex_);
  committed_ = frames;
  database_pages_ = database_pages;
}

DatabaseFiles::Frame DatabaseFiles::check_frame(std::uint64_t frame, std::string_view page) const {
  const std::uint64_t sum = checksum(page);
  std::lock_guard lock(mutex_);
  if (frame >= frames_.size()) return Frame::unknown;
  if (std::find(around_.lost.begin(), around_.lost.end(), frame) != around_.lost.end()) return Frame::damaged;
  return frames_[frame] == sum ? Frame::sound : Frame::damaged;
}

bool DatabaseFiles::first_page_lost(std::uint64_t frame) const {
  std::lock_guard lock(mutex_);
  return std::find(around_.lost_first_pages.begin(), around_.lost_first_pages.end(), frame) !=
         around_.lost_first_pages.end();
}

bool DatabaseFiles::lost_page(std::uint64_t number) const {
  std::lock_guard lock(mutex_);
  return std::find(around_.lost_pages.begin(), around_.lost_pages.end(), number) != around_.lost_pages.end();
}

bool DatabaseFiles::show_header(char* bytes) const {
  std::lock_guard lock(mutex_);
  if (around_.shown_header.empty()) return false;
  std::memcpy(bytes, around_.shown_header.data(), around_.shown_header.size());
  return true;
}

bool DatabaseFiles::show_frame_header(std::uint64_t frame, char* bytes) const {
  std::lock_guard lock(mutex_);
  if (frame < around_.shown_from || frame - around_.shown_from >= around_.shown.size()) return false;
  const auto& header = around_.shown[frame - around_.shown_from];
  std::memcpy(bytes, header.data(), header.size());
  return true;
}

WalMark DatabaseFiles::end() const {
  std::lock_guard lock(mutex_);
  return {salts_, committed_};
}

void DatabaseFiles::synced(const WalMark& end) {
  std::lock_guard lock(mutex_);
  // Another thread may have started the WAL over during the sync.
  if (end.salts != salts_ || end == marked_ || (end.salts == marked_.salts && end.frames < marked_.frames)) return;
  if (Status written = write_mark(database_, end, false); written) {
    marked_ = end;
  } else if (!mark_failed_) {
    mark_failed_ = true;  // an older mark covers less, and is not wrong
    spdlog::warn("event=wal_mark_failed reason=\"{}\"", written.error().text());
  }
}

Status DatabaseFiles::forget_mark() {
  std::lock_guard lock(mutex_);
  if (marked_ == WalMark{} && !read_mark(database_)) return {};
  Status written = write_mark(database_, {}, true);
  if (written) marked_ = {};
  return written;
}

}  // namespace ringfs::nodes

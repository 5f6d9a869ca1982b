// Measuring the disk, and the level that follows from it.
#include "nodes/store/space.hpp"

#include <pthread.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <chrono>

#include "nodes/store/files/payload_file.hpp"
#include "nodes/store/files/sqlite_schema.hpp"

namespace ringfs::nodes {

namespace {

constexpr auto measure_interval = std::chrono::milliseconds(500);
constexpr std::size_t measure_after_bytes = 1 << 20;
// Divisors of the reserve.
constexpr std::uint64_t ballast_part = 4;
constexpr std::uint64_t ample_again_part = 4;  // more than the reserve: the level must not change with every batch
constexpr std::uint64_t low_part = 2;
constexpr std::uint64_t none_part = 16;
// New rows fit into free room inside the files, but the WAL that brings them there needs room on the disk.
constexpr std::uint64_t real_part = 4;

// The room that it takes on the disk; a file with holes is longer.
std::uint64_t file_bytes(const std::filesystem::path& file) {
  constexpr std::uint64_t unit_of_blocks = 512;  // stat(2)
  struct stat status {};
  return stat(file.c_str(), &status) == 0 ? static_cast<std::uint64_t>(status.st_blocks) * unit_of_blocks : 0;
}

}  // namespace

StoreSpace::StoreSpace(std::filesystem::path directory, std::uint64_t reserve_bytes)
    : directory_(std::move(directory)),
      reserve_bytes_(reserve_bytes),
      ballast_(directory_, reserve_bytes / ballast_part) {
  measure();
  thread_ = std::thread([this] { run(); });
}

StoreSpace::~StoreSpace() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

dht::StorageStatus StoreSpace::status() const {
  std::lock_guard lock(mutex_);
  dht::StorageStatus status = status_;
  status.room = room_;
  return status;
}

dht::Room StoreSpace::room_now() const {
  if (waiting_) return dht::Room::none;
  if (left_bytes_ == UINT64_MAX) return dht::Room::ample;  // it was never measured
  const std::uint64_t left = left_bytes_ - std::min(left_bytes_, queued_bytes_);
  const std::uint64_t free = left + reusable_bytes_;
  auto has = [&](std::uint64_t bytes) { return free >= bytes && left >= bytes / real_part; };
  if (has(reserve_bytes_ + (room_ == dht::Room::ample ? 0 : reserve_bytes_ / ample_again_part)))
    return dht::Room::ample;
  if (has(reserve_bytes_ / low_part)) return dht::Room::low;
  return has(reserve_bytes_ / none_part) ? dht::Room::reserve : dht::Room::none;
}

void StoreSpace::settle() {
  room_ = room_now();
  if (left_bytes_ == UINT64_MAX) return;
  const std::uint64_t free = left_bytes_ + reusable_bytes_;
  status_.disk_free_bytes = free - std::min(free, reserve_bytes_);  // what can be written before the level falls
}

void StoreSpace::written(std::size_t bytes) {
  unmeasured_bytes_ += bytes;
  if (unmeasured_bytes_ < measure_after_bytes) return;
  unmeasured_bytes_ = 0;
  measure();
}

void StoreSpace::queued(std::size_t bytes) {
  std::lock_guard lock(mutex_);
  queued_bytes_ += bytes;
  settle();
}

void StoreSpace::dequeued(std::size_t bytes) {
  std::lock_guard lock(mutex_);
  queued_bytes_ -= std::min<std::uint64_t>(bytes, queued_bytes_);
}

void StoreSpace::set_reusable(std::uint64_t bytes) {
  std::lock_guard lock(mutex_);
  reusable_bytes_ = bytes;
  settle();
}

void StoreSpace::set_waiting(bool waiting) {
  std::lock_guard lock(mutex_);
  waiting_ = waiting;
  if (waiting) ballast_.release();
  settle();
}

void StoreSpace::run() {
  pthread_setname_np(pthread_self(), "store-space");
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    wake_.wait_for(lock, measure_interval, [this] { return stopping_; });
    if (stopping_) return;
    lock.unlock();
    measure();
    lock.lock();
  }
}

void StoreSpace::measure() {
  // Only stat(2): closing a descriptor of the database would release SQLite's POSIX locks on it.
  std::string file = (directory_ / database_file_name).string();
  std::uint64_t database_bytes =
      file_bytes(file) + file_bytes(file + "-wal") + file_bytes(directory_ / payload_file_name);
  struct statvfs disk {};
  struct stat of_directory {};
  bool measured = statvfs(directory_.c_str(), &disk) == 0 && stat(directory_.c_str(), &of_directory) == 0;
  std::lock_guard lock(mutex_);
  status_.database_bytes = database_bytes;
  if (!measured) return;
  left_bytes_ = static_cast<std::uint64_t>(disk.f_bavail) * disk.f_frsize;
  status_.disk_total_bytes = static_cast<std::uint64_t>(disk.f_blocks) * disk.f_frsize;
  status_.disk_id = static_cast<std::uint64_t>(of_directory.st_dev);
  settle();
  const std::uint64_t plenty = reserve_bytes_ + reserve_bytes_ / ample_again_part + ballast_.wanted_bytes();
  if (room_ == dht::Room::none)
    ballast_.release();
  else if (left_bytes_ >= plenty && !waiting_)
    ballast_.hold();
}

}  // namespace ringfs::nodes

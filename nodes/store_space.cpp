#include "nodes/store_space.hpp"

#include <pthread.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <chrono>

#include "nodes/sqlite_schema.hpp"
#include "nodes/store_payload_file.hpp"

namespace ringfs {

namespace {

constexpr auto measure_interval = std::chrono::milliseconds(500);
constexpr std::size_t measure_after_bytes = 1 << 20;
constexpr std::uint64_t wal_share = 4;

std::uint64_t file_bytes(const std::filesystem::path& file) {
  struct stat status {};
  return stat(file.c_str(), &status) == 0 ? static_cast<std::uint64_t>(status.st_size) : 0;
}

}  // namespace

StoreSpace::StoreSpace(std::filesystem::path directory, std::uint64_t reserve_bytes)
    : directory_(std::move(directory)), reserve_bytes_(reserve_bytes) {
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

StorageStatus StoreSpace::status() const {
  std::lock_guard lock(mutex_);
  StorageStatus status = status_;
  if (left_bytes_ != UINT64_MAX) {
    // Free pages inside the database take new rows, but the WAL that brings them there needs some real space, too.
    status.disk_free_bytes = left_bytes_ + reusable_bytes_;
    status.no_space = status.disk_free_bytes < reserve_bytes_ || left_bytes_ < reserve_bytes_ / wal_share;
  }
  status.no_space = status.no_space || waiting_;
  return status;
}

void StoreSpace::written(std::size_t bytes) {
  unmeasured_bytes_ += bytes;
  if (unmeasured_bytes_ < measure_after_bytes) return;
  unmeasured_bytes_ = 0;
  measure();
}

void StoreSpace::set_reusable(std::uint64_t bytes) {
  std::lock_guard lock(mutex_);
  reusable_bytes_ = bytes;
}

void StoreSpace::set_waiting(bool waiting) {
  std::lock_guard lock(mutex_);
  waiting_ = waiting;
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
  // stat() only: opening and closing the file here would drop SQLite's POSIX locks on it.
  std::string file = (directory_ / database_file_name).string();
  std::uint64_t database_bytes = file_bytes(file) + file_bytes(file + "-wal") + file_bytes(directory_ / payload_file_name);
  struct statvfs disk {};
  struct stat of_directory {};
  bool measured = statvfs(directory_.c_str(), &disk) == 0 && stat(directory_.c_str(), &of_directory) == 0;
  std::lock_guard lock(mutex_);
  status_.database_bytes = database_bytes;
  if (!measured) return;
  left_bytes_ = static_cast<std::uint64_t>(disk.f_bavail) * disk.f_frsize;
  status_.disk_total_bytes = static_cast<std::uint64_t>(disk.f_blocks) * disk.f_frsize;
  status_.disk_id = static_cast<std::uint64_t>(of_directory.st_dev);
}

}  // namespace ringfs

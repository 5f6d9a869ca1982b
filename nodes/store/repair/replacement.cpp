// The steps of a replacement, each durable before the next one.
#include "nodes/store/repair/replacement.hpp"

#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>

#include "dht/base/descriptor.hpp"
#include "nodes/store/files/first_page.hpp"
#include "nodes/store/files/lock.hpp"
#include "nodes/store/files/sqlite_schema.hpp"
#include "nodes/store/files/wal_frames.hpp"

namespace ringfs::nodes {

namespace {

std::filesystem::path database_in(const std::filesystem::path& directory) { return directory / database_file_name; }
std::filesystem::path copy_in(const std::filesystem::path& directory) {
  return database_in(directory).string() + "-copy";
}
std::filesystem::path complete_in(const std::filesystem::path& directory) {
  return database_in(directory).string() + "-complete";
}

void remove_file(const std::filesystem::path& file) {
  if (unlink(file.c_str()) != 0 && errno != ENOENT) file_failed(file, errno);
}

void rename_file(const std::filesystem::path& from, const std::filesystem::path& to) {
  if (rename(from.c_str(), to.c_str()) != 0) file_failed(from, errno);
}

void sync_file(const std::filesystem::path& file) {
  Descriptor descriptor(open(file.c_str(), O_RDWR | O_CLOEXEC));
  if (descriptor.value < 0 || fsync(descriptor.value) != 0) file_failed(file, errno);
}

std::uint64_t bytes_of(const std::filesystem::path& file) {
  std::error_code absent;
  const std::uintmax_t bytes = std::filesystem::file_size(file, absent);
  return absent ? 0 : bytes;
}

void expect_room(const std::filesystem::path& directory) {
  struct statvfs disk {};
  if (statvfs(directory.c_str(), &disk) != 0) file_failed(directory, errno);
  const std::uint64_t needed = bytes_of(database_in(directory)) + bytes_of(wal_of(database_in(directory)));
  const std::uint64_t left = std::uint64_t{disk.f_bavail} * disk.f_frsize;
  if (left >= needed) return;
  throw StoreFailure(ErrorCode::no_space, "copying " + database_in(directory).string() + " needs " +
                                              std::to_string(needed) + " bytes, " + std::to_string(left) + " are free");
}

void tell(const ReplacementHook& hook, ReplacementStep step) {
  if (hook) hook(step);
}

}  // namespace

void finish_replacement(const std::filesystem::path& directory, const ReplacementHook& hook) {
  const std::filesystem::path database = database_in(directory);
  remove_file(copy_in(directory));
  if (!std::filesystem::exists(complete_in(directory))) return;
  // The copy has what was in the old WAL. The new database must never see that WAL.
  remove_file(mark_of(database));
  forget_first_page(database);
  remove_file(wal_of(database));
  remove_file(database.string() + "-journal");
  or_throw(sync_directory(directory));
  tell(hook, ReplacementStep::wal_gone);
  rename_file(complete_in(directory), database);
  or_throw(sync_directory(directory));
  tell(hook, ReplacementStep::replaced);
}

StoreCopyReport replace_database(const std::filesystem::path& directory, unsigned page_bytes,
                                 const StoreCopyOptions& options, const ReplacementHook& hook) {
  expect_room(directory);
  StoreCopyReport report;
  try {
    std::unique_ptr<Connection> from = open_damaged(directory);
    std::unique_ptr<Connection> to = create_copy(copy_in(directory), page_bytes);
    SqlTransaction reading(*from, "BEGIN");
    StoreCopyOptions copying = options;
    copying.pages_unverified = !has_page_sums(*from);
    report = copy_store(directory, *from, *to, copying);
  } catch (const StoreFailure&) {
    remove_file(copy_in(directory));
    throw;
  }
  tell(hook, ReplacementStep::copied);
  sync_file(copy_in(directory));
  tell(hook, ReplacementStep::synced);
  rename_file(copy_in(directory), complete_in(directory));
  or_throw(sync_directory(directory));
  tell(hook, ReplacementStep::complete);
  finish_replacement(directory, hook);
  return report;
}

}  // namespace ringfs::nodes

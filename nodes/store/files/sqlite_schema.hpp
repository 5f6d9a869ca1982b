// The database file: creating it, telling whether it is ours, bringing an older format up to date
// (docs/disk-format.md).
//
// Threads: none of its own. Errors: StoreFailure with corrupt, version_mismatch, io_error or no_space.
#pragma once

#include <memory>

#include "dht/core/protocol/messages.hpp"
#include "nodes/store/files/sqlite_handle.hpp"

namespace ringfs::nodes {

inline constexpr std::int32_t database_application_id = 0x52464E31;  // "RFN1"
inline constexpr int database_format = 6;                            // user_version
inline constexpr const char* database_file_name = "ringfs.db";

// What stands in the database's place, or is missing, is nothing that copying could mend.
class ForeignDatabase : public StoreFailure {
 public:
  using StoreFailure::StoreFailure;
};

// Opens the database for writing; creates it when there is none, with sums on its pages. One of an older format is
// brought up to format 5, in place: sums and digests it gets by being copied (nodes/store/repair/replacement.hpp). Page
// cache: 16 MiB; synchronous = FULL until the writer takes over, which syncs by hand.
std::unique_ptr<Connection> open_database(const std::filesystem::path& directory, unsigned page_bytes);
bool has_page_sums(const Connection& connection);
bool has_digests(Connection& connection);  // of rows and logs, in the table `grp`; of format 6
// Writes every byte of the WAL again, in place, and syncs it; nothing when there is none. Part of open_database().
// Why: after a sync that failed, the kernel may count frames as written that it holds in memory alone. A process that
// starts again would read and trust them, and no later sync would cover them; written again they are covered. Not by a
// checkpoint instead: that moves pages into the database before the WAL is known to be durable, and after a power
// failure in between the older frames that the disk has would lie over newer pages. And the WAL keeps its length.
void renew_wal(const std::filesystem::path& wal);
// Another connection to a database that open_database() opened.
std::unique_ptr<Connection> open_reader(const std::filesystem::path& directory, std::int64_t cache_kib);
std::unique_ptr<Connection> open_checkpointer(const std::filesystem::path& directory, bool synchronous_off);
// To copy from: damage in the WAL is worked around, nothing is written.
std::unique_ptr<Connection> open_damaged(const std::filesystem::path& directory);
// A new database with all tables, to copy into; nothing is synced and nothing can be rolled back.
std::unique_ptr<Connection> create_copy(const std::filesystem::path& file, unsigned page_bytes);

inline constexpr const char* rebuild_request =
    "rebuild";  // in `meta`: why the next start copies the database (nodes/store/repair/copy.hpp)

// Named values of the table `meta`; each carries a checksum. Errors: corrupt.
class MetaTable {
 public:
  explicit MetaTable(Connection& connection);
  std::optional<std::string> get(const std::string& name);
  void set(const std::string& name, std::string_view value);

 private:
  Statement get_;
  Statement set_;
};

// Of a row of the table `peer`.
std::uint64_t peer_checksum(const Uuid& peer, const dht::Incarnation& incarnation);

std::string encode(const dht::Incarnation& incarnation);
dht::Incarnation decode_incarnation(std::string_view bytes);  // throws corrupt

}  // namespace ringfs::nodes

// The database file: creating and opening it, telling whether it is one of RingFS, migrating older formats
// (docs/disk-format.md).
//
// Threads: none of its own. Errors: StoreFailure: corrupt, version_mismatch, io_error, no_space.
#pragma once

#include <memory>

#include "dht/core/protocol/messages.hpp"
#include "nodes/store/files/sqlite_handle.hpp"

namespace ringfs::nodes {

inline constexpr std::int32_t database_application_id = 0x52464E31;  // "RFN1"
inline constexpr int database_format = 6;                            // user_version
inline constexpr const char* database_file_name = "ringfs.db";

// The directory has another file in the database's place, or none. A copy cannot repair that.
class ForeignDatabase : public StoreFailure {
 public:
  using StoreFailure::StoreFailure;
};

// Opens the database for writing, or creates it with page sums. An older format is migrated in place up to format 5;
// page sums and digests come with a copy (nodes/store/repair/replacement.hpp). The page cache has 16 MiB. synchronous
// is FULL until the writer takes over, which syncs by itself.
std::unique_ptr<Connection> open_database(const std::filesystem::path& directory, unsigned page_bytes);
bool has_page_sums(const Connection& connection);
bool has_digests(Connection& connection);  // of rows and logs, in the table `grp`: format 6
// Writes every byte of the WAL again, in place, and syncs it; does nothing if there is none. Part of open_database().
//
// Why: after a failed sync the kernel may hold frames only in memory and yet count them as written. A process that
// starts again would read and trust them, and no later sync would cover them. Written again, they are covered. A
// checkpoint would not do: it moves pages into the database before the WAL is known to be durable. If power fails then,
// the disk can have older frames in the WAL, which would cover newer pages. Also, the WAL keeps its length this way.
void renew_wal(const std::filesystem::path& wal);
// Further connections to a database that open_database() opened.
std::unique_ptr<Connection> open_reader(const std::filesystem::path& directory, std::int64_t cache_kib);
std::unique_ptr<Connection> open_checkpointer(const std::filesystem::path& directory, bool synchronous_off);
// To copy from: works around damage in the WAL and writes nothing.
std::unique_ptr<Connection> open_damaged(const std::filesystem::path& directory);
// To copy into: a new database with all tables. Nothing is synced, and nothing can be rolled back.
std::unique_ptr<Connection> create_copy(const std::filesystem::path& file, unsigned page_bytes);

inline constexpr const char* rebuild_request =
    "rebuild";  // a name in `meta`: why the next start copies the database (nodes/store/repair/copy.hpp)

// The named values of the table `meta`, each with a checksum. Errors: corrupt.
class MetaTable {
 public:
  explicit MetaTable(Connection& connection);
  std::optional<std::string> get(const std::string& name);
  void set(const std::string& name, std::string_view value);

 private:
  Statement get_;
  Statement set_;
};

// The checksum of a row of the table `peer`.
std::uint64_t peer_checksum(const Uuid& peer, const dht::Incarnation& incarnation);

std::string encode(const dht::Incarnation& incarnation);
dht::Incarnation decode_incarnation(std::string_view bytes);  // throws corrupt

}  // namespace ringfs::nodes

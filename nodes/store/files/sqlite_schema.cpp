// The schema and its migrations, and the ways in which the store opens its database.
#include "nodes/store/files/sqlite_schema.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "dht/base/descriptor.hpp"
#include "dht/base/hash.hpp"
#include "nodes/store/files/database_files.hpp"
#include "nodes/store/files/first_page.hpp"
#include "nodes/store/files/identity.hpp"
#include "nodes/store/files/payload_file.hpp"

namespace ringfs::nodes {

namespace {

constexpr std::int64_t writer_cache_kib = 16 << 10;
constexpr std::int64_t checkpointer_cache_kib = 64;
// While a snapshot is read the WAL grows. When it starts over it is truncated to this length. Below, it keeps its
// length, because growing a file makes commits slower.
constexpr std::int64_t wal_kept_bytes = 128 << 20;
constexpr std::size_t renewal_step_bytes = 1 << 20;

// Step i migrates format i to format i + 1.
constexpr std::array<const char*, database_format> migration_steps = {
    R"sql(
CREATE TABLE meta(name TEXT PRIMARY KEY, value BLOB NOT NULL, checksum INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE peer(node BLOB PRIMARY KEY, counter INTEGER NOT NULL, nonce INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE grp(
  p INTEGER PRIMARY KEY, term INTEGER NOT NULL, vote BLOB NOT NULL, replica_added INTEGER NOT NULL,
  configuration BLOB NOT NULL, configuration_index INTEGER NOT NULL,
  applied INTEGER NOT NULL, applied_term INTEGER NOT NULL, applied_stamp INTEGER NOT NULL,
  base_index INTEGER NOT NULL, base_term INTEGER NOT NULL, base_stamp INTEGER NOT NULL,
  space INTEGER NOT NULL,
  staging_space INTEGER, staging_snapshot INTEGER, staging_next INTEGER,
  checksum INTEGER NOT NULL);
CREATE TABLE log(
  p INTEGER NOT NULL, idx INTEGER NOT NULL, term INTEGER NOT NULL, stamp INTEGER NOT NULL, kind INTEGER NOT NULL,
  size INTEGER NOT NULL, blobs BLOB, checksum INTEGER NOT NULL, head BLOB NOT NULL,
  PRIMARY KEY(p, idx)) WITHOUT ROWID;
CREATE TABLE rows(
  space INTEGER NOT NULL, key BLOB NOT NULL, sort BLOB NOT NULL, version INTEGER NOT NULL, payload INTEGER,
  checksum INTEGER NOT NULL, value BLOB,
  PRIMARY KEY(space, key, sort)) WITHOUT ROWID;
CREATE TABLE payload(id INTEGER PRIMARY KEY, refs INTEGER NOT NULL, size INTEGER NOT NULL, checksum INTEGER NOT NULL);
CREATE TABLE payload_data(id INTEGER PRIMARY KEY, bytes BLOB NOT NULL);
CREATE TABLE garbage(space INTEGER PRIMARY KEY);
)sql",
    // NULL in rows of format 1.
    "ALTER TABLE peer ADD COLUMN checksum INTEGER;",
    // The entries of all partitions in the order of their arrival, found by an index. Ordered by partition, nearly
    // every append met a full page in the middle of the tree and moved entries between three pages.
    R"sql(
ALTER TABLE log RENAME TO log_of_format_2;
CREATE TABLE log(
  id INTEGER PRIMARY KEY, p INTEGER NOT NULL, idx INTEGER NOT NULL, term INTEGER NOT NULL, stamp INTEGER NOT NULL,
  kind INTEGER NOT NULL, size INTEGER NOT NULL, blobs BLOB, checksum INTEGER NOT NULL, head BLOB NOT NULL);
INSERT INTO log(p, idx, term, stamp, kind, size, blobs, checksum, head)
  SELECT p, idx, term, stamp, kind, size, blobs, checksum, head FROM log_of_format_2;
CREATE UNIQUE INDEX log_place ON log(p, idx);
DROP TABLE log_of_format_2;
)sql",
    // Every replica of format 3 is one of genesis and has its rows.
    "ALTER TABLE grp ADD COLUMN holds_data INTEGER NOT NULL DEFAULT 1;",
    // From format 5 on payloads may lie in a file of their own. Older programs must not open such a database.
    "",
    // From format 6 on pages have sums and groups have digests. Older programs would not write them. A database gets
    // them when it is created or copied.
    "",
};
// Added to format 5, too, because this program cannot run without it: a disk without room for the copy must not stop a
// node.
constexpr const char* damage_column = "ALTER TABLE grp ADD COLUMN damage INTEGER NOT NULL DEFAULT 0";
// The defaults are right for a group that is created from then on.
constexpr const char* digest_columns = R"sql(
ALTER TABLE grp ADD COLUMN rows_digest INTEGER NOT NULL DEFAULT 0;
ALTER TABLE grp ADD COLUMN staging_digest INTEGER NOT NULL DEFAULT 0;
ALTER TABLE grp ADD COLUMN log_digest INTEGER NOT NULL DEFAULT 0;
ALTER TABLE grp ADD COLUMN log_end INTEGER NOT NULL DEFAULT 0;
)sql";
constexpr std::int64_t copy_cache_kib = 16 << 10;
constexpr int format_without_sums = 5;

std::string pragma(const char* name, std::int64_t value) {
  return std::string("PRAGMA ") + name + " = " + std::to_string(value);
}

void configure(Connection& connection, std::int64_t cache_kib) {
  connection.execute("PRAGMA mmap_size = 0");  // a bad sector must be an error, not SIGBUS
  connection.execute("PRAGMA temp_store = MEMORY");
  connection.execute("PRAGMA trusted_schema = OFF");
  // Debian's SQLite overwrites deleted data with zeros, in the WAL and again by the checkpoint. A moved partition would
  // be written twice more.
  connection.execute("PRAGMA secure_delete = OFF");
  connection.execute(pragma("cache_size", -cache_kib));
  connection.execute(pragma("journal_size_limit", wal_kept_bytes));
}

[[noreturn]] void not_ours(const std::filesystem::path& file) {
  throw ForeignDatabase(ErrorCode::corrupt, file.string() + " is not a RingFS database");
}

[[noreturn]] void too_new(const std::filesystem::path& file, std::int64_t format) {
  throw StoreFailure(ErrorCode::version_mismatch, file.string() + " is of format " + std::to_string(format) +
                                                      ", this program knows up to " + std::to_string(database_format));
}

// What the file has of a header; empty if there is no file or nothing in it. Closed before SQLite opens the file, whose
// POSIX locks a close would release.
std::string_view read_header(const std::filesystem::path& file, std::array<char, database_header_bytes>& head) {
  const Descriptor descriptor(open(file.c_str(), O_RDONLY | O_CLOEXEC));
  if (descriptor.value < 0 && errno == ENOENT) return {};
  const ssize_t count = descriptor.value < 0 ? -1 : read(descriptor.value, head.data(), head.size());
  if (count < 0) throw StoreFailure(ErrorCode::io_error, file.string() + ": " + std::strerror(errno));
  return {head.data(), static_cast<std::size_t>(count)};
}

enum class FileKind { absent, sqlite };

// Looks at the first bytes, before SQLite touches the file.
FileKind look_at(const std::filesystem::path& file) {
  constexpr std::size_t format_place = 60;  // of user_version; application_id is 8 bytes further
  std::array<char, database_header_bytes> head{};
  const std::string_view bytes = read_header(file, head);
  if (bytes.empty()) return FileKind::absent;  // no file, or a crash interrupted its creation
  // A power failure during the creation leaves zeros, and a journal that rolls them back.
  bool zeros = all_zeros(bytes) && std::filesystem::exists(file.string() + "-journal");
  const std::optional<std::string> kept = read_first_page(file);
  auto damaged = [&] { return StoreFailure(ErrorCode::corrupt, "the first page of " + file.string() + " is damaged"); };
  if (!zeros && !bytes.starts_with(database_magic)) {
    if (kept) throw damaged();
    not_ours(file);
  }
  // Before any checksum is looked at: a newer format may have others.
  if (bytes.size() == head.size()) {
    Reader numbers(bytes.substr(format_place));
    const std::uint32_t format = numbers.u32();
    numbers.u32();
    const bool ours = numbers.u32() == static_cast<std::uint32_t>(database_application_id);
    // A page whose sum does not hold may be of a newer program with other sums. Such a program would have renewed the
    // copy first. If the copy has another format, the page is damaged.
    if (ours && format > database_format) {
      Reader copied(kept ? std::string_view(*kept).substr(format_place) : std::string_view());
      if (kept && !first_page_holds(file) && copied.u32() != format) throw damaged();
      too_new(file, format);
    }
  }
  return FileKind::sqlite;
}

// Called within a transaction.
void make_tables(Connection& connection, std::int64_t from, std::int64_t to) {
  if (from < to) {
    for (std::int64_t step = from; step < to; ++step)
      connection.execute(migration_steps[static_cast<std::size_t>(step)]);
    connection.execute(pragma("application_id", database_application_id));
    connection.execute(pragma("user_version", to));
  }
  if (connection.integer("SELECT count(*) FROM pragma_table_info('grp') WHERE name = 'damage'") == 0)
    connection.execute(damage_column);
  if (from == 0 && to == database_format) connection.execute(digest_columns);
}

void migrate(Connection& connection, const std::filesystem::path& file) {
  SqlTransaction transaction(connection, "BEGIN EXCLUSIVE");  // rolls back what a crash left
  std::int64_t application = connection.integer("PRAGMA application_id");
  std::int64_t format = connection.integer("PRAGMA user_version");
  bool blank = application == 0 && format == 0 && connection.integer("SELECT count(*) FROM sqlite_schema") == 0;
  if (!blank && application != database_application_id) not_ours(file);
  if (format > database_format) too_new(file, format);
  if (format < 0 || (format == 0 && !blank)) not_ours(file);
  make_tables(connection, format, blank || has_page_sums(connection) ? database_format : format_without_sums);
  transaction.commit();
}

// Reserves bytes at the end of each page of a new database; has no effect on an existing one.
void reserve_page_sums(Connection& connection) {
  int bytes = page_sum_bytes;
  const int code = sqlite3_file_control(connection.raw(), "main", SQLITE_FCNTL_RESERVE_BYTES, &bytes);
  if (code != SQLITE_OK) connection.raise(code, "reserving bytes for the sums of pages");
}

// Lets a database return room while it is used (StoreWriter::vacuum). Before the first table; has no effect on an
// existing database, which gets it when it is copied.
void vacuum_in_steps(Connection& connection) {
  if (connection.integer("PRAGMA page_count") == 0) connection.execute("PRAGMA auto_vacuum = INCREMENTAL");
}

}  // namespace

void renew_wal(const std::filesystem::path& wal) {
  // SQLite takes no locks on the WAL, so closing a descriptor of it releases none.
  Descriptor file(open(wal.c_str(), O_RDWR | O_CLOEXEC));
  if (file.value < 0 && errno == ENOENT) return;
  if (file.value < 0) file_failed(wal, errno);
  std::string bytes(renewal_step_bytes, '\0');
  for (off_t offset = 0;;) {
    ssize_t count = pread(file.value, bytes.data(), bytes.size(), offset);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) file_failed(wal, errno);
    if (count == 0) break;
    ssize_t written = pwrite(file.value, bytes.data(), static_cast<std::size_t>(count), offset);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) file_failed(wal, errno);
    offset += written;  // the rest of a short write is read again
  }
  if (fsync(file.value) != 0) file_failed(wal, errno);
}

std::unique_ptr<Connection> open_database(const std::filesystem::path& directory, unsigned page_bytes) {
  std::filesystem::path file = directory / database_file_name;
  bool created = look_at(file) == FileKind::absent;
  if (created && std::filesystem::exists(file.string() + "-wal")) {
    throw ForeignDatabase(ErrorCode::corrupt, file.string() + " is missing or empty, but its -wal file is there");
  }
  std::error_code unreadable;
  if (created && std::filesystem::file_size(directory / payload_file_name, unreadable) > 0 && !unreadable) {
    throw ForeignDatabase(ErrorCode::corrupt,
                          file.string() + " is missing or empty, but " + payload_file_name + " is there");
  }
  if (created && read_identity(directory)) {
    throw ForeignDatabase(ErrorCode::corrupt,
                          file.string() + " is missing or empty, but " + identity_file_name + " is there");
  }
  try {
    renew_wal(file.string() + "-wal");
    auto connection = std::make_unique<Connection>(file, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);
    configure(*connection, writer_cache_kib);
    connection->execute(pragma("page_size", page_bytes));  // no effect on an existing database
    reserve_page_sums(*connection);
    vacuum_in_steps(*connection);
    connection->execute("PRAGMA synchronous = FULL");
    // A new database gets its tables with a rollback journal, so the file says from its first byte what it is.
    migrate(*connection, file);
    if (connection->text("PRAGMA journal_mode = WAL") != "wal") {
      throw StoreFailure(ErrorCode::io_error, file.string() + ": the file system does not support SQLite's WAL");
    }
    connection->execute("PRAGMA wal_autocheckpoint = 0");
    return connection;
  } catch (const StoreFailure& failure) {
    const Error& error = failure.error();
    if (error.code == ErrorCode::corrupt && error.context.find(database_file_name) == std::string::npos) {
      throw StoreFailure(ErrorCode::corrupt, file.string() + " is damaged: " + error.context);
    }
    throw;
  }
}

std::unique_ptr<Connection> open_reader(const std::filesystem::path& directory, std::int64_t cache_kib) {
  // Not SQLITE_OPEN_READONLY: such a connection could not recover the index of the WAL. query_only refuses changes.
  auto connection = std::make_unique<Connection>(directory / database_file_name, SQLITE_OPEN_READWRITE);
  configure(*connection, cache_kib);
  connection->execute("PRAGMA wal_autocheckpoint = 0");
  connection->execute("PRAGMA query_only = 1");
  return connection;
}

std::unique_ptr<Connection> open_checkpointer(const std::filesystem::path& directory, bool synchronous_off) {
  auto connection = std::make_unique<Connection>(directory / database_file_name, SQLITE_OPEN_READWRITE);
  configure(*connection, checkpointer_cache_kib);
  connection->execute("PRAGMA wal_autocheckpoint = 0");
  connection->execute(synchronous_off ? "PRAGMA synchronous = OFF" : "PRAGMA synchronous = FULL");
  return connection;
}

bool has_page_sums(const Connection& connection) {
  const std::optional<PageLayout> layout = DatabaseFiles::of(connection.file())->layout();
  return layout && layout->summed;
}

bool has_digests(Connection& connection) {
  return connection.integer("SELECT count(*) FROM pragma_table_info('grp') WHERE name = 'rows_digest'") != 0;
}

std::unique_ptr<Connection> open_damaged(const std::filesystem::path& directory) {
  // Before the first read, which is of the first page. SQLite knows the database by its canonical path.
  const std::shared_ptr<DatabaseFiles> files =
      DatabaseFiles::of((std::filesystem::canonical(directory) / database_file_name).string());
  files->work_around_damage();
  auto connection = std::make_unique<Connection>(directory / database_file_name, SQLITE_OPEN_READWRITE);
  if (connection->file() != files->database())
    throw StoreFailure(ErrorCode::internal, "SQLite calls the database " + connection->file().string());
  configure(*connection, copy_cache_kib);
  connection->execute("PRAGMA wal_autocheckpoint = 0");
  connection->execute("PRAGMA query_only = 1");
  if (sqlite3_db_config(connection->raw(), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr) != SQLITE_OK) {
    throw StoreFailure(ErrorCode::internal, "SQLite would write on closing");
  }
  return connection;
}

std::unique_ptr<Connection> create_copy(const std::filesystem::path& file, unsigned page_bytes) {
  auto connection = std::make_unique<Connection>(file, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);
  configure(*connection, copy_cache_kib);
  connection->execute(pragma("page_size", page_bytes));
  reserve_page_sums(*connection);
  vacuum_in_steps(*connection);
  connection->execute("PRAGMA journal_mode = OFF");
  connection->execute("PRAGMA synchronous = OFF");
  // In a transaction of its own: the first page decides how all others are written.
  SqlTransaction transaction(*connection, "BEGIN EXCLUSIVE");
  make_tables(*connection, 0, database_format);
  transaction.commit();
  return connection;
}

MetaTable::MetaTable(Connection& connection)
    : get_(connection, "SELECT value, checksum FROM meta WHERE name = CAST(? AS TEXT)"),
      set_(connection,
           "INSERT INTO meta(name, value, checksum) VALUES(CAST(? AS TEXT), ?, ?) "
           "ON CONFLICT(name) DO UPDATE SET value = excluded.value, checksum = excluded.checksum") {}

std::optional<std::string> MetaTable::get(const std::string& name) {
  Query query(get_, name);
  if (!query.step()) return std::nullopt;
  std::string value(query.bytes(0));
  if (checksum(value, checksum(name)) != query.natural(1)) {
    throw StoreFailure(ErrorCode::corrupt, "meta \"" + name + "\": checksum does not match");
  }
  return value;
}

void MetaTable::set(const std::string& name, std::string_view value) {
  Query(set_, name, value, checksum(value, checksum(name))).finish();
}

std::uint64_t peer_checksum(const Uuid& peer, const dht::Incarnation& incarnation) {
  return checksum(encode(incarnation), checksum(peer.raw()));
}

std::string encode(const dht::Incarnation& incarnation) {
  Writer writer;
  writer.u64(incarnation.counter);
  writer.u64(incarnation.nonce);
  return writer.take();
}

dht::Incarnation decode_incarnation(std::string_view bytes) {
  Reader reader(bytes);
  dht::Incarnation incarnation;
  incarnation.counter = reader.u64();
  incarnation.nonce = reader.u64();
  if (!reader.done()) throw StoreFailure(ErrorCode::corrupt, "incarnation does not decode");
  return incarnation;
}

}  // namespace ringfs::nodes

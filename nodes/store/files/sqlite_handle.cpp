// The calls of SQLite, and which ErrorCode each of its result codes is.
#include "nodes/store/files/sqlite_handle.hpp"

#include <algorithm>

#include "nodes/store/files/sqlite_wal_vfs.hpp"

namespace ringfs::nodes {

namespace {

constexpr int busy_timeout_ms =
    5000;  // readers and the checkpointer wait for each other for microseconds, so this is never reached

ErrorCode code_of(int code) {
  if (code == SQLITE_FULL || code == SQLITE_IOERR_SHMSIZE)
    return ErrorCode::no_space;  // SHMSIZE: the WAL's index cannot grow
  if (code == SQLITE_IOERR_CORRUPTFS) return ErrorCode::io_error;
  if (code == SQLITE_IOERR_DATA) return ErrorCode::corrupt;  // the checksum of a page or a frame (sqlite_wal_vfs.hpp)
  switch (code & 0xff) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_CONSTRAINT:  // the store's statements never violate one over sound tables
      return ErrorCode::corrupt;
    case SQLITE_MISUSE:
    case SQLITE_RANGE:
    case SQLITE_ERROR:
    case SQLITE_NOMEM: return ErrorCode::internal;
    default: return ErrorCode::io_error;
  }
}

}  // namespace

Connection::Connection(const std::filesystem::path& file, int flags) {
  int code = sqlite3_open_v2(file.c_str(), &database_, flags | SQLITE_OPEN_NOMUTEX, wal_vfs_name());
  if (code != SQLITE_OK) {
    std::string text = file.string() + ": " + (database_ ? sqlite3_errmsg(database_) : sqlite3_errstr(code));
    int extended = database_ ? sqlite3_extended_errcode(database_) : code;
    if (extended == SQLITE_IOERR_DATA) text = file.string() + ": " + take_damage_text();
    sqlite3_close_v2(database_);
    throw StoreFailure(code_of(extended), text);
  }
  sqlite3_extended_result_codes(database_, 1);
  sqlite3_busy_timeout(database_, busy_timeout_ms);
}

Connection::~Connection() {
  for (const auto& [literal, statement] : prepared_) sqlite3_finalize(statement);
  sqlite3_close_v2(database_);
}

void Connection::raise(int code, const std::string& doing) const {
  if (code == SQLITE_IOERR_DATA) throw StoreFailure(ErrorCode::corrupt, take_damage_text());
  throw StoreFailure(code_of(code),
                     doing + ": " + sqlite3_errmsg(database_) + " (SQLite " + std::to_string(code) + ")");
}

void Connection::execute(const char* sql) {
  int code = sqlite3_exec(database_, sql, nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) raise(code, sql);
}

void Connection::run(const char* literal) {
  auto found =
      std::find_if(prepared_.begin(), prepared_.end(), [&](const auto& item) { return item.first == literal; });
  if (found == prepared_.end()) {
    sqlite3_stmt* statement = nullptr;
    int code = sqlite3_prepare_v3(database_, literal, -1, SQLITE_PREPARE_PERSISTENT, &statement, nullptr);
    if (code != SQLITE_OK) raise(code, literal);
    found = prepared_.insert(prepared_.end(), {literal, statement});
  }
  int code = sqlite3_step(found->second);
  sqlite3_reset(found->second);
  if (code != SQLITE_DONE) raise(code, literal);
}

// Does what synchronous = FULL does after every commit, only for the commits that need it.
void Connection::sync_wal() {
  sqlite3_file* wal = nullptr;
  int code = sqlite3_file_control(database_, "main", SQLITE_FCNTL_JOURNAL_POINTER, &wal);
  if (code == SQLITE_OK)
    code = wal == nullptr || wal->pMethods == nullptr ? SQLITE_IOERR : wal->pMethods->xSync(wal, SQLITE_SYNC_NORMAL);
  if (code != SQLITE_OK)
    throw StoreFailure(ErrorCode::io_error, std::string("sync of the WAL: ") + sqlite3_errstr(code));
}

std::int64_t Connection::integer(const char* sql) {
  Statement statement(*this, sql);
  Query query(statement);
  return query.step() ? query.integer(0) : 0;
}

std::string Connection::text(const char* sql) {
  Statement statement(*this, sql);
  Query query(statement);
  return query.step() ? std::string(query.bytes(0)) : std::string();
}

void Connection::rollback() noexcept {
  // SQLite may have rolled back already. After a ROLLBACK that fails nothing is durable either: the commit frame is
  // missing.
  if (in_transaction()) sqlite3_exec(database_, "ROLLBACK", nullptr, nullptr, nullptr);
}

void Query::begin() {
  RINGFS_CHECK(!statement_.running_);
  if (!statement_.statement_) {
    int code = sqlite3_prepare_v3(statement_.connection_.raw(), statement_.sql_.c_str(), -1, SQLITE_PREPARE_PERSISTENT,
                                  &statement_.statement_, nullptr);
    if (code != SQLITE_OK) statement_.connection_.raise(code, statement_.sql_);
  }
  statement_.running_ = true;
}

Query::~Query() {
  // sqlite3_reset() repeats the result of the last step, which was checked.
  sqlite3_reset(statement_.statement_);
  sqlite3_clear_bindings(statement_.statement_);
  statement_.running_ = false;
}

bool Query::step() {
  int code = sqlite3_step(statement_.statement_);
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  statement_.connection_.raise(code, statement_.sql_);
}

std::string_view Query::bytes(int column) const {
  const void* data = sqlite3_column_blob(statement_.statement_, column);
  auto size = static_cast<std::size_t>(sqlite3_column_bytes(statement_.statement_, column));
  // A null pointer with a size above zero: out of memory.
  if (!data && size > 0) statement_.connection_.raise(SQLITE_NOMEM, statement_.sql_);
  return data ? std::string_view(static_cast<const char*>(data), size) : std::string_view();
}

void Query::bind(int index, std::string_view bytes) {
  const char* data = bytes.data() ? bytes.data() : "";
  int code = sqlite3_bind_blob64(statement_.statement_, index, data, bytes.size(), SQLITE_STATIC);
  if (code != SQLITE_OK) {
    statement_.running_ = false;
    statement_.connection_.raise(code, statement_.sql_);
  }
}

void Query::bind(int index, std::nullptr_t) {
  int code = sqlite3_bind_null(statement_.statement_, index);
  if (code != SQLITE_OK) {
    statement_.running_ = false;
    statement_.connection_.raise(code, statement_.sql_);
  }
}

void Query::bind_integer(int index, std::int64_t value) {
  int code = sqlite3_bind_int64(statement_.statement_, index, value);
  if (code != SQLITE_OK) {
    statement_.running_ = false;
    statement_.connection_.raise(code, statement_.sql_);
  }
}

SqlTransaction::SqlTransaction(Connection& connection, const char* begin) : connection_(connection) {
  connection_.run(begin);
}

void SqlTransaction::commit() { connection_.run("COMMIT"); }

void overwrite_blob(Connection& connection, const char* table, const char* column, std::int64_t row, std::size_t offset,
                    std::string_view bytes) {
  sqlite3_blob* blob = nullptr;
  int code = sqlite3_blob_open(connection.raw(), "main", table, column, row, 1, &blob);
  if (code == SQLITE_OK)
    code = sqlite3_blob_write(blob, bytes.data(), static_cast<int>(bytes.size()), static_cast<int>(offset));
  if (code != SQLITE_OK) {
    sqlite3_blob_close(blob);
    connection.raise(code, "overwrite of a payload");
  }
  code = sqlite3_blob_close(blob);
  if (code != SQLITE_OK) connection.raise(code, "overwrite of a payload");
}

}  // namespace ringfs::nodes

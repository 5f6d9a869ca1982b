// A thin RAII layer over SQLite: connection, prepared statement, one run of a statement, transaction.
//
// Why: the code of the store reads as SQL and types, and every result code is checked. Threads: a connection, and what
// belongs to it, is used by one thread at a time (SQLITE_OPEN_NOMUTEX). Errors: StoreFailure (failure.hpp). Source:
// sqlite.org/c3ref.
#pragma once

#include <sqlite3.h>

#include <concepts>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "nodes/store/files/failure.hpp"

namespace ringfs::nodes {

class Connection {
 public:
  // flags: of sqlite3_open_v2, such as SQLITE_OPEN_READWRITE; NOMUTEX is added.
  Connection(const std::filesystem::path& file, int flags);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  sqlite3* raw() const { return database_; }
  void execute(const char* sql);
  void run(const char* literal);  // prepared once; found again by the address of the literal
  void execute(const std::string& sql) { execute(sql.c_str()); }
  std::int64_t integer(const char* sql);  // the first column of the first row
  std::string text(const char* sql);
  std::filesystem::path file() const { return sqlite3_db_filename(database_, "main"); }  // absolute
  bool in_transaction() const { return sqlite3_get_autocommit(database_) == 0; }
  void rollback() noexcept;  // does nothing if no transaction is open
  void sync_wal();           // afterwards all that was committed before is durable
  [[noreturn]] void raise(int code, const std::string& doing) const;

 private:
  sqlite3* database_ = nullptr;
  std::vector<std::pair<const char*, sqlite3_stmt*>> prepared_;  // a few
};

// Prepared at its first use, and kept as long as the object. Its connection outlives it.
class Statement {
 public:
  Statement(Connection& connection, std::string sql) : connection_(connection), sql_(std::move(sql)) {}
  ~Statement() { sqlite3_finalize(statement_); }
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;

 private:
  friend class Query;
  Connection& connection_;
  std::string sql_;
  sqlite3_stmt* statement_ = nullptr;
  bool running_ = false;
};

// One run of a statement: binds, steps, and resets at the end. Bound byte strings must outlive it. At most one Query of
// a Statement at a time.
class Query {
 public:
  template <class... Values>
  explicit Query(Statement& statement, const Values&... values) : statement_(statement) {
    begin();
    (add(values), ...);
  }
  ~Query();
  Query(const Query&) = delete;
  Query& operator=(const Query&) = delete;

  // Binds the next parameter.
  template <class Value>
  void add(const Value& value) {
    bind(++bound_, value);
  }
  bool step();  // true: there is a row
  void finish() {
    while (step()) {
    }
  }  // runs to the end and ignores rows
  bool null(int column) const { return sqlite3_column_type(statement_.statement_, column) == SQLITE_NULL; }
  std::int64_t integer(int column) const { return sqlite3_column_int64(statement_.statement_, column); }
  std::uint64_t natural(int column) const { return static_cast<std::uint64_t>(integer(column)); }
  std::string_view bytes(int column) const;  // valid until the next step
  std::optional<std::string_view> bytes_unless_null(int column) const {
    return null(column) ? std::nullopt : std::optional(bytes(column));
  }

 private:
  void begin();
  void bind(int index, std::string_view bytes);  // as BLOB; never NULL
  void bind(int index, const std::string& bytes) { bind(index, std::string_view(bytes)); }
  void bind(int index, std::nullptr_t);
  template <class Value>
  void bind(int index, const std::optional<Value>& value) {
    if (value)
      bind(index, *value);
    else
      bind(index, nullptr);
  }
  template <std::integral Integer>
  void bind(int index, Integer value) {
    bind_integer(index, static_cast<std::int64_t>(value));
  }
  void bind_integer(int index, std::int64_t value);
  Statement& statement_;
  int bound_ = 0;
};

// Rolled back unless committed. (Not called Transaction: that is one of the ring, over several partitions.)
class SqlTransaction {
 public:
  explicit SqlTransaction(Connection& connection, const char* begin = "BEGIN IMMEDIATE");
  ~SqlTransaction() { connection_.rollback(); }
  SqlTransaction(const SqlTransaction&) = delete;
  SqlTransaction& operator=(const SqlTransaction&) = delete;
  void commit();

 private:
  Connection& connection_;
};

// Overwrites bytes of a BLOB in place; only the pages that hold these bytes are written.
void overwrite_blob(Connection& connection, const char* table, const char* column, std::int64_t row, std::size_t offset,
                    std::string_view bytes);

}  // namespace ringfs::nodes

// Payloads and rows in SQLite: the RowReader and RowWriter for evaluate() and execute_read().
//
// A value of at least payload_threshold bytes is a payload. It is written once: a log entry and then a row refer to it
// by its id. The payloads of large entries and of snapshots lie in the file of payloads
// (nodes/store/files/payload_file.hpp) and never change. Those that the evaluator makes lie in the database. A payload
// is immutable while more than one entry or row refers to it. overwrite() changes an unshared payload of the database
// in place, and copies any other into the database first. A payload is removed when nothing refers to it any more.
//
// Threads: those of the connection. Errors: StoreFailure; corrupt if a checksum does not match or a payload is missing,
// naming the row. Limits: scan() holds scan_page_rows rows at a time, without their payloads.
#pragma once

#include <map>
#include <set>
#include <string_view>
#include <tuple>
#include <vector>

#include "dht/core/rows/evaluate.hpp"
#include "nodes/store/files/payload_file.hpp"
#include "nodes/store/files/sqlite_handle.hpp"
#include "nodes/store/rows/hot_rows.hpp"
#include "nodes/store/rows/row_digest.hpp"

namespace ringfs::nodes {

using SpaceId = std::int64_t;  // one epoch of the rows of one partition (docs/disk-format.md)

enum class PayloadHome { file, database };

[[noreturn]] void damaged_payload(PayloadId id, const char* what);  // throws corrupt

class PayloadTable {
 public:
  PayloadTable(Connection& connection, PayloadFile& file);
  struct Named {
    PayloadId id = 0;
    std::uint64_t checksum = 0;  // of the bytes
  };
  // With one reference. Into the file only what is synced before its transaction commits, or dropped at the next start.
  Named insert(std::string_view bytes, PayloadHome home);
  Named share(PayloadId id);            // adds a reference
  std::uint64_t release(PayloadId id);  // drops a reference; the last one removes the payload. Gives its checksum
  void release_or_leave(PayloadId id);  // the same, but a damaged payload stays where it is
  SharedBytes read(PayloadId id);
  std::uint64_t size(PayloadId id) { return noted(id).size; }  // from the table; the bytes are not read
  // The payload with some bytes replaced; the caller's reference moves to it.
  struct Overwritten {
    Named now;
    std::uint64_t checksum_before = 0;
  };
  Overwritten overwrite(PayloadId id, std::size_t offset, std::string_view bytes);

 private:
  struct Noted {
    std::int64_t references = 0;
    std::uint64_t size = 0;
    std::uint64_t checksum = 0;
  };
  Noted noted(PayloadId id);  // what the table says; throws corrupt if it has no such id

  Connection& connection_;
  PayloadFile& file_;
  Statement insert_;
  Statement insert_in_file_;
  Statement insert_data_;
  Statement share_;
  Statement release_;
  Statement remove_;
  Statement remove_data_;
  Statement read_;
  Statement read_data_;
  Statement set_checksum_;
};

struct SpaceRow {
  RowAddress address;
  std::uint64_t version = 0;
  std::optional<PayloadId> payload;
  SharedBytes value;
};

class RowTable : public dht::RowWriter {
 public:
  RowTable(Connection& connection, PayloadTable& payloads);

  void select(SpaceId space);
  // What the changes of the selected space since the last call add to its digest.
  RowDigest take_digest_change() { return std::exchange(digest_change_, 0); }
  // The blobs of the entry that is applied, and their payloads: put() shares these instead of storing them again. Both
  // must outlive their use.
  void set_blobs(const std::vector<SharedBytes>* blobs, const std::vector<PayloadId>* payloads);

  std::optional<Row> get(const RowAddress& row) override;
  std::optional<std::uint64_t> version(const RowAddress& row) override;
  void scan(const std::string& key, const std::string& prefix, const std::string& after, bool values,
            const std::function<bool(Row&&)>& visit) override;
  void put(const RowAddress& row, const SharedBytes& value, std::uint64_t version) override;
  void erase(const RowAddress& row) override;
  void erase_prefix(const std::string& key, const std::string& prefix) override;
  void overwrite(const RowAddress& row, std::uint32_t offset, std::string_view bytes, std::uint64_t version) override;

  // For the connection that writes: keep rows that it read or wrote lately in memory.
  void remember_rows() { remembering_ = true; }
  void forget_rows();  // after a rollback
  // Where put() stores new payloads.
  void put_payloads_into(PayloadHome home) { home_ = home; }
  // Where puts and erasures are noted; null: nowhere.
  void note_changes(std::vector<HotChange>* changes) { changes_ = changes; }

  // Erases some rows of a space that nobody reads; false: none are left.
  bool erase_some(SpaceId space, std::size_t max_rows);

 private:
  struct Found {
    std::uint64_t version = 0;
    std::optional<PayloadId> payload;
    std::uint64_t checksum = 0;  // rows.checksum
    SharedBytes value;           // empty for a payload
  };
  struct Place {
    SpaceId space = 0;
    RowAddress row;
  };
  using PlaceView = std::tuple<SpaceId, std::string_view, std::string_view>;
  // Finds rows without copying their keys.
  struct PlaceOrder {
    using is_transparent = void;
    static PlaceView view(const Place& place) { return {place.space, place.row.key, place.row.sort}; }
    static const PlaceView& view(const PlaceView& place) { return place; }
    template <class Left, class Right>
    bool operator()(const Left& left, const Right& right) const {
      return view(left) < view(right);
    }
  };
  std::optional<Found> find(const RowAddress& row);
  std::optional<Found> find_stored(const RowAddress& row);
  std::optional<Found> find_former(const RowAddress& row);
  Found store(const RowAddress& row, std::uint64_t version, std::optional<PayloadId> payload, const SharedBytes& value);
  PayloadTable::Named store_payload(const SharedBytes& value);
  RowDigest release(const RowAddress& row, const Found& former);
  void changed(const RowAddress& row, RowDigest added, std::optional<Found> after);
  void remember(const RowAddress& row, std::optional<Found> found);
  std::optional<PayloadId> shared_blob(const SharedBytes& value) const;

  PayloadTable& payloads_;
  SpaceId space_ = 0;
  RowDigest digest_change_ = 0;
  PayloadHome home_ = PayloadHome::database;
  bool remembering_ = false;
  std::map<Place, std::optional<Found>, PlaceOrder> remembered_;  // none: there is no such row
  std::size_t remembered_bytes_ = 0;
  std::set<SpaceId> without_locks_;  // spaces that have no row of lock_key
  std::vector<HotChange>* changes_ = nullptr;
  const std::vector<SharedBytes>* blobs_ = nullptr;
  const std::vector<PayloadId>* blob_payloads_ = nullptr;
  Statement find_;
  Statement version_;
  Statement former_;
  Statement scan_;
  Statement scan_versions_;
  Statement store_;
  Statement erase_;
  Statement former_from_;
  Statement former_between_;
  Statement erase_from_;
  Statement erase_between_;
  Statement some_;
};

// What rows.checksum holds (docs/disk-format.md).
std::uint64_t row_checksum(const RowAddress& row, std::uint64_t version, std::optional<PayloadId> payload,
                           std::string_view value);
// A row's term in the digest of its space, computed from what was read, not from rows.checksum.
RowDigest row_term(const SpaceRow& row);
// For error messages: the keys of the row, printable.
std::string describe(SpaceId space, const RowAddress& row);

// The columns that the next two functions expect.
inline constexpr const char* row_columns = "key, sort, version, payload, checksum, value";
// The current row of a query, without its value. Errors: corrupt.
SpaceRow verified_names(SpaceId space, const Query& query);
// The current row with its value; a payload is read. Errors: corrupt.
SpaceRow verified_row(PayloadTable& payloads, SpaceId space, const Query& query);

// All rows of a space in order, within the transaction that is open. A row stays current until next() is called.
class SpaceScan {
 public:
  // only the rows after this one; null: all rows
  SpaceScan(Connection& connection, PayloadTable& payloads, SpaceId space, const RowAddress* after = nullptr);
  bool next();                      // false: no more rows
  std::size_t value_bytes() const;  // of the current row, before its payload is read
  SpaceRow row();                   // verified, with its value

 private:
  PayloadTable& payloads_;
  SpaceId space_;
  RowAddress after_;  // bound, so it must outlive the query
  Statement statement_;
  Query query_;
};

}  // namespace ringfs::nodes

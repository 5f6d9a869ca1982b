// Payloads and rows in SQLite: the RowReader and RowWriter that evaluate() and execute_read() run over.
//
// A value of at least payload_threshold bytes is a payload, written once: a log entry and then a row refer to the same
// one by its id. What large entries and snapshots bring lies in the file of payloads
// (nodes/store/files/payload_file.hpp) and never changes; what the evaluator makes of it lies in the database. A
// payload is immutable while more than one refers to it; overwrite() patches an unshared one of the database in place
// and copies any other into the database once. It goes when nothing refers to it any more.
//
// Threads: as the connection's. Errors: StoreFailure; corrupt when a checksum does not match or a payload is missing,
// naming the row. Limits: scan() holds scan_page_rows rows without their payloads at a time.
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

using SpaceId = std::int64_t;  // the rows of one epoch of one partition

enum class PayloadHome { file, database };

[[noreturn]] void damaged_payload(PayloadId id, const char* what);  // throws corrupt

class PayloadTable {
 public:
  PayloadTable(Connection& connection, PayloadFile& file);
  struct Named {
    PayloadId id = 0;
    std::uint64_t checksum = 0;  // of its bytes
  };
  // One reference. In the file only what is synced before its transaction, or thrown away at the next start.
  Named insert(std::string_view bytes, PayloadHome home);
  Named share(PayloadId id);            // one reference more
  std::uint64_t release(PayloadId id);  // one less; at none the payload goes. Its checksum
  void release_or_leave(PayloadId id);  // the same, but left where it is if what is known of it is damaged
  SharedBytes read(PayloadId id);
  std::uint64_t size(PayloadId id) { return noted(id).size; }  // the bytes are not looked at
  // A payload with the bytes replaced; the caller's reference moves to it.
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
  Noted noted(PayloadId id);  // throws corrupt: there is none

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
  // What the changes since the last time, of the space that is selected, add to its digest.
  RowDigest take_digest_change() { return std::exchange(digest_change_, 0); }
  // The blobs of the entry that is being applied, so that put() shares them instead of copying. Both must outlive the
  // use.
  void set_blobs(const std::vector<SharedBytes>* blobs, const std::vector<PayloadId>* payloads);

  std::optional<Row> get(const RowAddress& row) override;
  std::optional<std::uint64_t> version(const RowAddress& row) override;
  void scan(const std::string& key, const std::string& prefix, const std::string& after, bool values,
            const std::function<bool(Row&&)>& visit) override;
  void put(const RowAddress& row, const SharedBytes& value, std::uint64_t version) override;
  void erase(const RowAddress& row) override;
  void erase_prefix(const std::string& key, const std::string& prefix) override;
  void overwrite(const RowAddress& row, std::uint32_t offset, std::string_view bytes, std::uint64_t version) override;

  // For the one connection that writes: rows that it read or wrote lately are not read from the database again.
  void remember_rows() { remembering_ = true; }
  void forget_rows();  // after a rollback
  // Where put() writes the payloads that it makes.
  void put_payloads_into(PayloadHome home) { home_ = home; }
  // Where puts and erasures are noted from now on; null: nowhere.
  void note_changes(std::vector<HotChange>* changes) { changes_ = changes; }

  // Deletes some rows of a space that nobody reads any more; false: none is left.
  bool erase_some(SpaceId space, std::size_t max_rows);

 private:
  struct Found {
    std::uint64_t version = 0;
    std::optional<PayloadId> payload;
    std::uint64_t checksum = 0;  // rows.checksum
    SharedBytes value;           // empty when it is a payload
  };
  struct Place {
    SpaceId space = 0;
    RowAddress row;
  };
  using PlaceView = std::tuple<SpaceId, std::string_view, std::string_view>;
  // Found without copies of the keys.
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
  std::map<Place, std::optional<Found>, PlaceOrder> remembered_;  // no value: there is no such row
  std::size_t remembered_bytes_ = 0;
  std::set<SpaceId> without_locks_;  // spaces where no row of lock_key is
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
// A row in its space's digest; computed from what was read, not from its stored checksum.
RowDigest row_term(const SpaceRow& row);
// For error messages: the row's names, printable.
std::string describe(SpaceId space, const RowAddress& row);

// The columns of `rows` that the next two functions take.
inline constexpr const char* row_columns = "key, sort, version, payload, checksum, value";
// The row that the query is at; its value is left out. Errors: corrupt.
SpaceRow verified_names(SpaceId space, const Query& query);
// With its value; that of a payload is read. Errors: corrupt.
SpaceRow verified_row(PayloadTable& payloads, SpaceId space, const Query& query);

// All rows of a space in order, in the transaction that is open; a row stays current until next() is called.
class SpaceScan {
 public:
  // after: only the rows behind this one; null: all.
  SpaceScan(Connection& connection, PayloadTable& payloads, SpaceId space, const RowAddress* after = nullptr);
  bool next();                      // false: no more rows
  std::size_t value_bytes() const;  // of the current row, known before its payload is read
  SpaceRow row();                   // verified; payload: value is read

 private:
  PayloadTable& payloads_;
  SpaceId space_;
  RowAddress after_;  // what is bound must outlive the query
  Statement statement_;
  Query query_;
};

}  // namespace ringfs::nodes

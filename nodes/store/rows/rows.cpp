// Payloads, rows and scans: the statements and the checksums around them.
#include "nodes/store/rows/rows.hpp"

#include <spdlog/spdlog.h>

#include "dht/base/hash.hpp"
#include "dht/core/rows/locks.hpp"

namespace ringfs::nodes {

namespace {

constexpr std::int64_t scan_page_rows = 64;
constexpr std::size_t max_remembered_bytes = 8 << 20;  // rows that the writer keeps; then all are dropped

// The smallest string greater than all that start with the prefix; none: there is no such string.
std::optional<std::string> end_of_prefix(std::string prefix) {
  while (!prefix.empty() && prefix.back() == '\xff') prefix.pop_back();
  if (prefix.empty()) return std::nullopt;
  prefix.back() = static_cast<char>(static_cast<unsigned char>(prefix.back()) + 1);
  return prefix;
}

std::string printable(std::string_view text) {
  constexpr std::size_t most = 80;
  std::string shown;
  for (char letter : text.substr(0, most)) {
    if (letter >= ' ' && letter < '\x7f' && letter != '\\') {
      shown.push_back(letter);
    } else {
      shown += "\\x" + to_hex(std::string_view(&letter, 1));
    }
  }
  return text.size() > most ? shown + "..." : shown;
}

}  // namespace

void damaged_payload(PayloadId id, const char* what) {
  throw StoreFailure(ErrorCode::corrupt, "payload " + std::to_string(id) + ": " + what);
}

PayloadTable::PayloadTable(Connection& connection, PayloadFile& file)
    : connection_(connection),
      file_(file),
      // The next id below those of the file.
      insert_(connection,
              "INSERT INTO payload(id, refs, size, checksum) VALUES("
              "coalesce((SELECT id FROM payload WHERE id < ? ORDER BY id DESC LIMIT 1), 0) + 1, 1, ?, ?)"),
      insert_in_file_(connection, "INSERT INTO payload(id, refs, size, checksum) VALUES(?, 1, ?, ?)"),
      insert_data_(connection, "INSERT INTO payload_data(id, bytes) VALUES(?, ?)"),
      share_(connection, "UPDATE payload SET refs = refs + 1 WHERE id = ? RETURNING checksum"),
      release_(connection, "UPDATE payload SET refs = refs - 1 WHERE id = ? RETURNING refs, checksum"),
      remove_(connection, "DELETE FROM payload WHERE id = ?"),
      remove_data_(connection, "DELETE FROM payload_data WHERE id = ?"),
      read_(connection, "SELECT refs, size, checksum FROM payload WHERE id = ?"),
      read_data_(connection, "SELECT bytes FROM payload_data WHERE id = ?"),
      set_checksum_(connection, "UPDATE payload SET checksum = ? WHERE id = ?") {}

PayloadTable::Named PayloadTable::insert(std::string_view bytes, PayloadHome home) {
  const std::uint64_t sum = checksum(bytes);
  if (home == PayloadHome::file && bytes.size() <= PayloadFile::max_bytes) {
    PayloadId id = file_.write(bytes);
    Query(insert_in_file_, id, bytes.size(), sum).finish();
    return {id, sum};
  }
  Query(insert_, PayloadFile::first_id, bytes.size(), sum).finish();
  PayloadId id = sqlite3_last_insert_rowid(connection_.raw());
  Query(insert_data_, id, bytes).finish();
  return {id, sum};
}

PayloadTable::Named PayloadTable::share(PayloadId id) {
  Query query(share_, id);
  if (!query.step()) damaged_payload(id, "missing");
  const Named named{id, query.natural(0)};
  query.finish();
  return named;
}

std::uint64_t PayloadTable::release(PayloadId id) {
  std::int64_t left = 0;
  std::uint64_t sum = 0;
  {
    Query query(release_, id);
    if (!query.step()) damaged_payload(id, "missing");
    left = query.integer(0);
    sum = query.natural(1);
    query.finish();
  }
  if (left > 0) return sum;
  if (left < 0) damaged_payload(id, "released too often");
  Query(remove_, id).finish();
  if (PayloadFile::holds(id)) {
    file_.give_back(id);
  } else {
    Query(remove_data_, id).finish();
  }
  return sum;
}

void PayloadTable::release_or_leave(PayloadId id) {
  try {
    release(id);
  } catch (const StoreFailure& failure) {
    if (failure.error().code != ErrorCode::corrupt) throw;
    spdlog::warn("event=payload_left reason=\"{}\"", failure.error().text());
  }
}

PayloadTable::Noted PayloadTable::noted(PayloadId id) {
  Query query(read_, id);
  if (!query.step()) damaged_payload(id, "missing");
  return {query.integer(0), query.natural(1), query.natural(2)};
}

SharedBytes PayloadTable::read(PayloadId id) {
  const Noted expected = noted(id);
  std::string bytes;
  if (PayloadFile::holds(id)) {
    bytes = file_.read(id, expected.size);
  } else {
    Query query(read_data_, id);
    if (!query.step()) damaged_payload(id, "bytes missing");
    bytes = query.bytes(0);
  }
  if (bytes.size() != expected.size || checksum(bytes) != expected.checksum)
    damaged_payload(id, "checksum does not match");
  return SharedBytes(std::move(bytes));
}

PayloadTable::Overwritten PayloadTable::overwrite(PayloadId id, std::size_t offset, std::string_view bytes) {
  // Verified first: a new checksum would hide flipped bits.
  std::string patched = read(id).str();
  if (offset > patched.size() || bytes.size() > patched.size() - offset) {
    throw StoreFailure(ErrorCode::internal, "overwrite beyond the end of payload " + std::to_string(id));
  }
  patched.replace(offset, bytes.size(), bytes);
  const Noted before = noted(id);
  if (before.references != 1 || PayloadFile::holds(id)) {
    const Named copy = insert(patched, PayloadHome::database);
    release(id);
    return {copy, before.checksum};
  }
  if (!bytes.empty()) overwrite_blob(connection_, "payload_data", "bytes", id, offset, bytes);
  const std::uint64_t sum = checksum(patched);
  Query(set_checksum_, sum, id).finish();
  return {{id, sum}, before.checksum};
}

std::uint64_t row_checksum(const RowAddress& row, std::uint64_t version, std::optional<PayloadId> payload,
                           std::string_view value) {
  Writer writer;
  writer.reserve(row.key.size() + row.sort.size() + 25);
  writer.string(row.key);
  writer.string(row.sort);
  writer.u64(version);
  writer.boolean(payload.has_value());
  writer.i64(payload.value_or(0));
  return checksum(value, checksum(writer.bytes()));
}

std::string describe(SpaceId space, const RowAddress& row) {
  return "row \"" + printable(row.key) + "\" / \"" + printable(row.sort) + "\" of space " + std::to_string(space);
}

namespace {

void verify(SpaceId space, const RowAddress& row, std::uint64_t version, std::optional<PayloadId> payload,
            std::string_view value, std::uint64_t expected) {
  if (row_checksum(row, version, payload, value) == expected) return;
  throw StoreFailure(ErrorCode::corrupt, describe(space, row) + ": checksum does not match");
}

SharedBytes read_payload(PayloadTable& payloads, PayloadId id, SpaceId space, const RowAddress& row) {
  return with_place([&] { return describe(space, row); }, [&] { return payloads.read(id); });
}

std::optional<PayloadId> payload_column(const Query& query, int column) {
  if (query.null(column)) return std::nullopt;
  return query.integer(column);
}

}  // namespace

RowTable::RowTable(Connection& connection, PayloadTable& payloads)
    : payloads_(payloads),
      find_(connection, "SELECT version, payload, checksum, value FROM rows WHERE space = ? AND key = ? AND sort = ?"),
      version_(connection, "SELECT version FROM rows WHERE space = ? AND key = ? AND sort = ?"),
      // Without the value, which may lie on overflow pages.
      former_(connection, "SELECT version, payload, checksum FROM rows WHERE space = ? AND key = ? AND sort = ?"),
      // ?4: 1 leaves out the row that equals the lower bound.
      scan_(connection,
            "SELECT sort, version, payload, checksum, value FROM rows WHERE space = ?1 AND key = ?2 AND sort >= ?3 "
            "AND NOT (?4 AND sort = ?3) ORDER BY sort LIMIT ?5"),
      scan_versions_(connection,
                     "SELECT sort, version FROM rows WHERE space = ?1 AND key = ?2 AND sort >= ?3 "
                     "AND NOT (?4 AND sort = ?3) ORDER BY sort LIMIT ?5"),
      store_(connection,
             "INSERT INTO rows(space, key, sort, version, payload, checksum, value) VALUES(?, ?, ?, ?, ?, ?, ?) "
             "ON CONFLICT(space, key, sort) DO UPDATE SET version = excluded.version, payload = excluded.payload, "
             "checksum = excluded.checksum, value = excluded.value"),
      erase_(connection, "DELETE FROM rows WHERE space = ? AND key = ? AND sort = ?"),
      former_from_(connection,
                   "SELECT version, payload, checksum, sort FROM rows WHERE space = ? AND key = ? AND sort >= ?"),
      former_between_(
          connection,
          "SELECT version, payload, checksum, sort FROM rows WHERE space = ? AND key = ? AND sort >= ? AND sort < ?"),
      erase_from_(connection, "DELETE FROM rows WHERE space = ? AND key = ? AND sort >= ?"),
      erase_between_(connection, "DELETE FROM rows WHERE space = ? AND key = ? AND sort >= ? AND sort < ?"),
      some_(connection, "SELECT key, sort, payload, version, checksum FROM rows WHERE space = ? LIMIT ?") {}

void RowTable::set_blobs(const std::vector<SharedBytes>* blobs, const std::vector<PayloadId>* payloads) {
  blobs_ = blobs;
  blob_payloads_ = payloads;
}

void RowTable::select(SpaceId space) {
  RINGFS_CHECK(digest_change_ == 0);  // it would count for the wrong space
  space_ = space;
}

void RowTable::forget_rows() {
  digest_change_ = 0;
  remembered_.clear();
  remembered_bytes_ = 0;
  without_locks_.clear();
}

void RowTable::remember(const RowAddress& row, std::optional<Found> found) {
  if (!remembering_) return;
  if (found && row.key == dht::lock_key) without_locks_.erase(space_);
  constexpr std::size_t overhead = 160;
  const std::size_t bytes = row.key.size() + row.sort.size() + overhead + (found ? found->value.size() : 0);
  if (remembered_bytes_ + bytes > max_remembered_bytes) {
    remembered_.clear();
    remembered_bytes_ = 0;
  }
  // The bytes of a replaced row stay counted, so the map is dropped a little earlier.
  remembered_bytes_ += bytes;
  auto place = remembered_.find(PlaceView(space_, row.key, row.sort));
  if (place != remembered_.end()) {
    place->second = std::move(found);
  } else {
    remembered_.emplace(Place{space_, row}, std::move(found));
  }
}

std::optional<RowTable::Found> RowTable::find(const RowAddress& row) {
  if (!remembering_) return find_stored(row);
  auto known = remembered_.find(PlaceView(space_, row.key, row.sort));
  if (known != remembered_.end()) return known->second;
  std::optional<Found> found = find_stored(row);
  remember(row, found);
  return found;
}

std::optional<RowTable::Found> RowTable::find_stored(const RowAddress& row) {
  Query query(find_, space_, row.key, row.sort);
  if (!query.step()) return std::nullopt;
  Found found;
  found.version = query.natural(0);
  found.payload = payload_column(query, 1);
  found.checksum = query.natural(2);
  std::string_view value = query.bytes(3);
  verify(space_, row, found.version, found.payload, value, found.checksum);
  if (!found.payload) found.value = SharedBytes(std::string(value));
  return found;
}

std::optional<Row> RowTable::get(const RowAddress& row) {
  std::optional<Found> found = find(row);
  if (!found) return std::nullopt;
  if (found->payload) found->value = read_payload(payloads_, *found->payload, space_, row);
  return Row{row.sort, found->version, std::move(found->value)};
}

std::optional<std::uint64_t> RowTable::version(const RowAddress& row) {
  if (remembering_) {
    std::optional<Found> found = find(row);
    return found ? std::optional(found->version) : std::nullopt;
  }
  Query query(version_, space_, row.key, row.sort);
  if (!query.step()) return std::nullopt;
  return query.natural(0);
}

void RowTable::scan(const std::string& key, const std::string& prefix, const std::string& after, bool values,
                    const std::function<bool(Row&&)>& visit) {
  const bool all_locks = remembering_ && key == dht::lock_key && prefix.empty() && after.empty();
  if (all_locks && without_locks_.contains(space_)) return;
  bool any = false;
  // In pages, so that visit() may use this object, and payloads are read only when their row is due.
  struct Item {
    std::string sort;
    Found found;
  };
  bool skip_equal = !after.empty() && after >= prefix;
  std::string from = skip_equal ? after : prefix;
  bool more = true;
  while (more) {
    std::vector<Item> page;
    {
      Query query(values ? scan_ : scan_versions_, space_, key, from, skip_equal ? 1 : 0, scan_page_rows);
      more = false;
      while (query.step()) {
        Item item;
        item.sort = std::string(query.bytes(0));
        if (!std::string_view(item.sort).starts_with(prefix)) break;
        item.found.version = query.natural(1);
        if (values) {
          item.found.payload = payload_column(query, 2);
          std::string_view value = query.bytes(4);
          verify(space_, {key, item.sort}, item.found.version, item.found.payload, value, query.natural(3));
          if (!item.found.payload) item.found.value = SharedBytes(std::string(value));
        }
        any = true;
        page.push_back(std::move(item));
        more = page.size() == static_cast<std::size_t>(scan_page_rows);
      }
    }
    if (!page.empty()) from = page.back().sort;
    skip_equal = true;
    for (Item& item : page) {
      if (item.found.payload) item.found.value = read_payload(payloads_, *item.found.payload, space_, {key, item.sort});
      if (!visit(Row{std::move(item.sort), item.found.version, std::move(item.found.value)})) return;
    }
  }
  if (all_locks && !any) without_locks_.insert(space_);
}

// The former row without its value. Unverified: whoever replaces it does not need it.
std::optional<RowTable::Found> RowTable::find_former(const RowAddress& row) {
  if (remembering_) {
    auto known = remembered_.find(PlaceView(space_, row.key, row.sort));
    if (known != remembered_.end()) return known->second;
  }
  Query query(former_, space_, row.key, row.sort);
  if (!query.step()) return std::nullopt;
  return Found{query.natural(0), payload_column(query, 1), query.natural(2), {}};
}

// Releases the payload of the former row; gives its term in the digest.
RowDigest RowTable::release(const RowAddress& row, const Found& former) {
  if (!former.payload) return former.checksum;
  return row_term(row, former.version, payloads_.release(*former.payload), {});
}

RowTable::Found RowTable::store(const RowAddress& row, std::uint64_t version, std::optional<PayloadId> payload,
                                const SharedBytes& value) {
  Found stored{version, payload, row_checksum(row, version, payload, value.view()), {}};
  const auto inline_value = payload ? std::nullopt : std::optional(value.view());
  Query(store_, space_, row.key, row.sort, version, payload, stored.checksum, inline_value).finish();
  // A copy: the value may be part of a frame, which it would keep in memory.
  if (remembering_ && !payload) stored.value = SharedBytes(value.str());
  return stored;
}

void RowTable::changed(const RowAddress& row, RowDigest added, std::optional<Found> after) {
  digest_change_ += added;
  if (changes_) {
    HotChange change{row, false, after && after->payload, std::nullopt, added};
    if (after && !after->payload) change.after = Row{row.sort, after->version, after->value};
    changes_->push_back(std::move(change));
  }
  remember(row, std::move(after));
}

std::optional<PayloadId> RowTable::shared_blob(const SharedBytes& value) const {
  if (!blobs_) return std::nullopt;
  for (std::size_t i = 0; i < blobs_->size(); ++i) {
    if ((*blobs_)[i].data() == value.data() && (*blobs_)[i].size() == value.size()) return (*blob_payloads_)[i];
  }
  return std::nullopt;
}

PayloadTable::Named RowTable::store_payload(const SharedBytes& value) {
  if (const std::optional<PayloadId> shared = shared_blob(value)) return payloads_.share(*shared);
  return payloads_.insert(value.view(), home_);
}

void RowTable::put(const RowAddress& row, const SharedBytes& value, std::uint64_t version) {
  const std::optional<Found> former = find_former(row);
  Found now;
  RowDigest added = 0;
  if (value.size() < payload_threshold) {
    now = store(row, version, std::nullopt, value);
    added = now.checksum;
  } else {
    const PayloadTable::Named payload = store_payload(value);
    now = store(row, version, payload.id, {});
    added = row_term(row, version, payload.checksum, {});
  }
  if (former) added -= release(row, *former);
  changed(row, added, std::move(now));
}

void RowTable::erase(const RowAddress& row) {
  const std::optional<Found> former = find_former(row);
  Query(erase_, space_, row.key, row.sort).finish();
  changed(row, former ? 0 - release(row, *former) : 0, std::nullopt);
}

void RowTable::erase_prefix(const std::string& key, const std::string& prefix) {
  if (remembering_) {
    auto place = remembered_.lower_bound(PlaceView(space_, key, prefix));
    while (place != remembered_.end() && place->first.space == space_ && place->first.row.key == key &&
           place->first.row.sort.starts_with(prefix)) {
      place = remembered_.erase(place);
    }
  }
  std::optional<std::string> end = end_of_prefix(prefix);
  RowDigest gone = 0;
  std::vector<std::pair<RowAddress, Found>> with_payloads;
  auto collect = [&](Query& query) {
    while (query.step()) {
      Found former{query.natural(0), payload_column(query, 1), query.natural(2), {}};
      if (former.payload)
        with_payloads.emplace_back(RowAddress{key, std::string(query.bytes(3))}, former);
      else
        gone += former.checksum;
    }
  };
  if (end) {
    Query query(former_between_, space_, key, prefix, *end);
    collect(query);
    Query(erase_between_, space_, key, prefix, *end).finish();
  } else {
    Query query(former_from_, space_, key, prefix);
    collect(query);
    Query(erase_from_, space_, key, prefix).finish();
  }
  for (const auto& [row, former] : with_payloads) gone += release(row, former);
  digest_change_ -= gone;
  if (changes_) changes_->push_back({{key, prefix}, true, false, std::nullopt, 0 - gone});
}

void RowTable::overwrite(const RowAddress& row, std::uint32_t offset, std::string_view bytes, std::uint64_t version) {
  std::optional<Found> found = find(row);
  if (!found)
    throw StoreFailure(ErrorCode::internal, describe(space_, row) + ": overwrite of a row that does not exist");
  if (found->payload) {
    const PayloadTable::Overwritten payload = with_place(
        [&] { return describe(space_, row); }, [&] { return payloads_.overwrite(*found->payload, offset, bytes); });
    const RowDigest gone = row_term(row, found->version, payload.checksum_before, {});
    Found now = store(row, version, payload.now.id, {});
    changed(row, row_term(row, version, payload.now.checksum, {}) - gone, std::move(now));
    return;
  }
  std::string value = found->value.str();
  if (offset > value.size() || bytes.size() > value.size() - offset) {
    throw StoreFailure(ErrorCode::internal, describe(space_, row) + ": overwrite beyond its end");
  }
  value.replace(offset, bytes.size(), bytes);
  Found now = store(row, version, std::nullopt, SharedBytes(std::move(value)));
  const RowDigest added = now.checksum - found->checksum;
  changed(row, added, std::move(now));
}

bool RowTable::erase_some(SpaceId space, std::size_t max_rows) {
  struct Item {
    RowAddress row;
    std::optional<PayloadId> payload;
  };
  std::vector<Item> items;
  {
    Query query(some_, space, max_rows);
    while (query.step()) {
      Item item{{std::string(query.bytes(0)), std::string(query.bytes(1))}, payload_column(query, 2)};
      // A damaged row may name the payload of another row.
      if (item.payload && row_checksum(item.row, query.natural(3), item.payload, {}) != query.natural(4))
        item.payload.reset();
      items.push_back(std::move(item));
    }
  }
  for (const Item& item : items) {
    Query(erase_, space, item.row.key, item.row.sort).finish();
    if (item.payload) payloads_.release_or_leave(*item.payload);
  }
  return items.size() == max_rows;
}

SpaceScan::SpaceScan(Connection& connection, PayloadTable& payloads, SpaceId space, const RowAddress* after)
    : payloads_(payloads),
      space_(space),
      after_(after ? *after : RowAddress{}),
      // Without `after`: every key and sort key is at least the empty one.
      statement_(connection,
                 std::string("SELECT r.key, r.sort, r.version, r.payload, r.checksum, r.value, p.size FROM rows r "
                             "LEFT JOIN payload p ON p.id = r.payload WHERE r.space = ? AND (r.key, r.sort) ") +
                     (after ? ">" : ">=") + " (?, ?) ORDER BY r.key, r.sort"),
      query_(statement_, space_, after_.key, after_.sort) {}

bool SpaceScan::next() { return query_.step(); }

std::size_t SpaceScan::value_bytes() const {
  return query_.null(3) ? query_.bytes(5).size() : static_cast<std::size_t>(query_.natural(6));
}

SpaceRow SpaceScan::row() { return verified_row(payloads_, space_, query_); }

RowDigest row_term(const SpaceRow& row) {
  if (!row.payload) return row_term(row.address, row.version, std::nullopt, row.value.view());
  return row_term(row.address, row.version, checksum(row.value.view()), {});
}

SpaceRow verified_names(SpaceId space, const Query& query) {
  SpaceRow row;
  row.address = {std::string(query.bytes(0)), std::string(query.bytes(1))};
  row.version = query.natural(2);
  row.payload = payload_column(query, 3);
  verify(space, row.address, row.version, row.payload, query.bytes(5), query.natural(4));
  return row;
}

SpaceRow verified_row(PayloadTable& payloads, SpaceId space, const Query& query) {
  SpaceRow row = verified_names(space, query);
  row.value =
      row.payload ? read_payload(payloads, *row.payload, space, row.address) : SharedBytes(std::string(query.bytes(5)));
  return row;
}

}  // namespace ringfs::nodes

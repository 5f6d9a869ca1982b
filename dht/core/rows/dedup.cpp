// Remembering results of batches, and forgetting those that no copy can need.
#include "dht/core/rows/dedup.hpp"

#include <algorithm>

namespace ringfs::dht {

const std::string dedup_key("\0dedup", 6);

namespace {

const std::string sweep_key("\0sweep", 6);  // one row, sort "": the client after which the next sweep starts

RowAddress row_of(const Uuid& client) { return {dedup_key, std::string(client.raw())}; }

}  // namespace

DedupRecord DedupRecord::load(RowReader& rows, const Uuid& client) {
  DedupRecord record;
  std::optional<Row> row = rows.get(row_of(client));
  if (!row) return record;
  Reader reader(row->value.view());
  record.keep_until_.microseconds = reader.i64();
  record.first_incomplete_ = reader.u64();
  std::size_t count = reader.count(13);
  record.entries_.reserve(count);
  for (std::size_t i = 0; i < count && reader.ok(); ++i) {
    Entry entry;
    entry.sequence = reader.u64();
    Result<BatchResult> result = decode_batch_result(reader.string());
    if (!result) break;
    entry.result = *result;
    record.entries_.push_back(entry);
  }
  return record;
}

// The end of what is remembered as expired is not known; the record's own end is no earlier.
bool DedupRecord::is_forgettable(const Entry& entry, Stamp now) const {
  if (entry.result.outcome == BatchResult::Outcome::expired) return now > keep_until_;
  return now - entry.result.stamp > dedup_life;
}

std::optional<BatchResult> DedupRecord::find(std::uint64_t sequence) const {
  auto entry = std::lower_bound(entries_.begin(), entries_.end(), sequence,
                                [](const Entry& left, std::uint64_t right) { return left.sequence < right; });
  if (entry == entries_.end() || entry->sequence != sequence) return std::nullopt;
  return entry->result;
}

bool DedupRecord::is_full(std::uint64_t first_incomplete, Stamp now) const {
  if (entries_.size() < max_remembered) return false;
  std::size_t kept = static_cast<std::size_t>(std::count_if(entries_.begin(), entries_.end(), [&](const Entry& entry) {
    return entry.sequence >= first_incomplete && !is_forgettable(entry, now);
  }));
  return kept >= max_remembered;
}

void DedupRecord::remember(const Batch& batch, const BatchResult& result) {
  first_incomplete_ = std::max(first_incomplete_, batch.first_incomplete);
  std::erase_if(entries_, [&](const Entry& entry) {
    return entry.sequence < first_incomplete_ || is_forgettable(entry, result.stamp);
  });
  keep_until_ = std::max({keep_until_, result.stamp + dedup_life, batch.expires});
  auto place = std::lower_bound(entries_.begin(), entries_.end(), batch.sequence,
                                [](const Entry& left, std::uint64_t right) { return left.sequence < right; });
  entries_.insert(place, Entry{batch.sequence, result});
}

void DedupRecord::store(RowWriter& rows, const Uuid& client, std::uint64_t index) const {
  Writer writer;
  writer.i64(keep_until_.microseconds);
  writer.u64(first_incomplete_);
  writer.u32(static_cast<std::uint32_t>(entries_.size()));
  for (const Entry& entry : entries_) {
    writer.u64(entry.sequence);
    writer.string(encode(entry.result));
  }
  rows.put(row_of(client), SharedBytes(writer.take()), index);
}

void sweep_dedup(RowWriter& rows, Stamp now, std::uint64_t index) {
  if (index % sweep_interval != 0) return;
  const RowAddress cursor_row{sweep_key, {}};
  std::string cursor;
  std::optional<Row> stored = rows.get(cursor_row);
  if (stored) cursor = stored->value.str();
  std::vector<std::string> forgotten;
  std::string last;
  std::size_t seen = 0;
  rows.scan(dedup_key, {}, cursor, true, [&](Row&& row) {
    Reader reader(row.value.view());
    if (now > Stamp{reader.i64()}) forgotten.push_back(row.sort);
    last = row.sort;
    return ++seen < sweep_rows;
  });
  for (const std::string& client : forgotten) rows.erase({dedup_key, client});
  if (seen < sweep_rows) last.clear();  // the end: start over next time
  if (last != cursor) rows.put(cursor_row, SharedBytes(last), index);
}

}  // namespace ringfs::dht

// Reads of one partition's snapshot: rows, and which of them pending transactions mean to change.
#include <algorithm>
#include <set>

#include "dht/core/rows/evaluate.hpp"
#include "dht/core/rows/locks.hpp"

namespace ringfs::dht {

namespace {

constexpr std::size_t row_overhead_bytes = 24;  // what a row costs beside its keys and value

class ReadExecution {
 public:
  explicit ReadExecution(RowReader& rows) : rows_(rows), locks_(rows) {}

  Result<ReadReply> run(const ReadRequest& request) {
    ReadReply reply;
    for (const RowAddress& row : request.gets) {
      Result<ReadReply::Get> get = read_row(row);
      if (!get) return tl::unexpected(get.error());
      reply.gets.push_back(std::move(*get));
    }
    for (const ReadRequest::Scan& scan : request.scans) {
      Result<ReadReply::ScanResult> result = read_range(scan);
      if (!result) return tl::unexpected(result.error());
      reply.scans.push_back(std::move(*result));
    }
    return reply;
  }

 private:
  Result<ReadReply::Get> read_row(const RowAddress& row) {
    ReadReply::Get get;
    if (std::optional<Row> found = rows_.get(row)) {
      get.found = true;
      get.row = std::move(*found);
    }
    for (const RowHolder& holder : locks_.holders(row)) {
      const bool known = std::find(get.locks.begin(), get.locks.end(), holder.record) != get.locks.end();
      if (!known) get.locks.push_back(holder.record);
    }
    bytes_ += weight(get.row);
    if (bytes_ > max_reply_bytes) return fail(ErrorCode::too_large, "reply");
    return get;
  }

  Result<ReadReply::ScanResult> read_range(const ReadRequest::Scan& scan) {
    ReadReply::ScanResult result;
    rows_.scan(scan.key, scan.prefix, scan.after, scan.values, [&](Row&& row) {
      if (result.rows.size() >= scan.max_rows || bytes_ + weight(row) > max_reply_bytes) {
        result.more = true;
        return false;
      }
      bytes_ += weight(row);
      result.rows.push_back(std::move(row));
      return true;
    });
    // Each lock in the range that was read, for a committed transaction's new rows must not be missed.
    std::set<RecordRef> seen;
    bool too_many = false;
    locks_.scan(scan.key, scan.prefix, scan.after, [&](const std::string& sort, const std::vector<RowHolder>& holders) {
      if (result.more && (result.rows.empty() || sort > result.rows.back().sort)) return false;
      for (const RowHolder& holder : holders) {
        if (seen.insert(holder.record).second) result.locks.push_back(holder.record);
      }
      too_many = seen.size() > max_scan_locks;
      return !too_many;
    });
    if (too_many) return fail(ErrorCode::overloaded, "too many transactions in the range");
    return result;
  }

  static std::size_t weight(const Row& row) { return row.sort.size() + row.value.size() + row_overhead_bytes; }

  RowReader& rows_;
  Locks locks_;
  std::size_t bytes_ = 0;
};

}  // namespace

Result<ReadReply> execute_read(const ReadRequest& request, RowReader& rows) {
  if (Status status = validate(request); !status) return tl::unexpected(status.error());
  return ReadExecution(rows).run(request);
}

}  // namespace ringfs::dht

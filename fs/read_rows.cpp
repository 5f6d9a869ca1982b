// Reads of one thing.
#include "fs/read_rows.hpp"

namespace ringfs::fs {

Task<Result<ReadReply::Get>> read_row(ObjectStore& store, RowAddress row, TimePoint deadline) {
  ReadRequest request;
  request.gets.push_back(std::move(row));
  Result<ReadReply> reply = co_await store.read(std::move(request), deadline);
  if (!reply) co_return tl::unexpected(reply.error());
  co_return std::move(reply->gets.front());
}

Task<Result<ReadReply::ScanResult>> scan_rows(ObjectStore& store, ReadRequest::Scan scan, TimePoint deadline) {
  ReadRequest request;
  request.scans.push_back(std::move(scan));
  Result<ReadReply> reply = co_await store.read(std::move(request), deadline);
  if (!reply) co_return tl::unexpected(reply.error());
  co_return std::move(reply->scans.front());
}

ReadRequest::Scan scan_of(const RowAddress& prefix, std::string after, std::uint32_t most) {
  ReadRequest::Scan scan;
  scan.key = prefix.key;
  scan.prefix = prefix.sort;
  scan.after = std::move(after);
  scan.max_rows = most;
  return scan;
}

}  // namespace ringfs::fs

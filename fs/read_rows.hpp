// Reads of one thing: a row, or one page of a scan.
//
// Threads: one loop. Errors: those of ObjectStore. Name what you pass: an aggregate that is temporary dies too early in
// a co_await (CONTRIBUTING.md#coroutines).
#pragma once

#include <string>

#include "dht/base/object_store.hpp"

namespace ringfs::fs {

Task<Result<ReadReply::Get>> read_row(ObjectStore& store, RowAddress row, TimePoint deadline);
Task<Result<ReadReply::ScanResult>> scan_rows(ObjectStore& store, ReadRequest::Scan scan, TimePoint deadline);
// At most `most` of the rows with this prefix that follow the sort key `after` (empty: from the start).
ReadRequest::Scan scan_of(const RowAddress& prefix, std::string after, std::uint32_t most);

}  // namespace ringfs::fs

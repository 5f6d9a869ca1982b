// The conditions and mutations of a batch in words: `batch.mutations.push_back(erase(row))`. What each means says
// dht/base/rows.hpp. Threads: plain values.
#pragma once

#include <cstdint>
#include <vector>

#include "dht/base/rows.hpp"

namespace ringfs {

Condition absent(RowAddress row);
Condition present(RowAddress row);
Condition version_equals(RowAddress row, std::uint64_t version);
Condition value_equals(RowAddress row, SharedBytes value);
Condition bytes_equal(RowAddress row, std::uint32_t offset, SharedBytes bytes);
Condition empty_prefix(RowAddress prefix);

Mutation put(RowAddress row, SharedBytes value);
Mutation erase(RowAddress row);
Mutation erase_prefix(RowAddress prefix);
Mutation add_i64(RowAddress row, std::uint32_t offset, std::int64_t number);
Mutation max_i64(RowAddress row, std::uint32_t offset, std::int64_t number);
Mutation write_bytes(RowAddress row, std::uint32_t offset, SharedBytes bytes);
Mutation truncate_row(RowAddress row, std::size_t length);
Mutation prepare(const RecordRef& record, std::vector<Mutation> part, std::vector<RowAddress> locks = {});
Mutation resolve(const RecordRef& record, bool commit);

}  // namespace ringfs

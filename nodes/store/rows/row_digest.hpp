// What all rows of a space add up to: a number in the group's row (GroupState::rows_digest), kept by each transaction
// that changes a row.
//
// Why: the sums of pages and rows say that what is read was once written. They do not say that it was written last: of
// a write that the disk acknowledged and lost the page of before is left, whole, and rows are missing, old, or back
// again. The group's row lies on another page. Who adds up all rows that are there (nodes/store/repair/scrub.hpp,
// nodes/store/repair/copy.hpp) sees that they are not those that the transactions left.
//
// It is the sum modulo 2^64 of a term for each row: what is put adds its term, what goes takes it away, in any order
// and without a look at other rows. What is missing from it stays missing whatever is written afterwards, until the
// lost rows themselves are right again. A term is a hash of key, sort key, version and contents, not of the payload's
// id: an id that is used again, by a lost write of the table `payload`, would name other bytes; and replicas that
// applied the same entries have the same digest. Threads: plain functions. Limits: two states of a space have the same
// digest by chance once in 2^64.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "dht/base/rows.hpp"

namespace ringfs::nodes {

using RowDigest = std::uint64_t;

// payload_checksum: of the payload that is the row's value; `value` is empty then. Without a payload it is what
// rows.checksum holds, so that a row that goes need not be read for it.
RowDigest row_term(const RowAddress& row, std::uint64_t version, std::optional<std::uint64_t> payload_checksum,
                   std::string_view value);

}  // namespace ringfs::nodes

// The digest of all rows of a space: a number in the group's row (GroupState::rows_digest). Each transaction that
// changes a row changes it, too.
//
// Why: the checksums of pages and rows say that what is read was once written, not that it was written last. A disk can
// acknowledge a write and lose it. The page of before is then whole, and its rows are missing, old, or back again. The
// group's row lies on another page. Whoever adds up all rows (nodes/store/repair/scrub.hpp,
// nodes/store/repair/copy.hpp) finds that they are not those that the transactions left.
//
// It is the sum modulo 2^64 of a term for each row. A put adds a term, an erasure subtracts it, in any order and
// without a look at other rows. A lost row makes a difference that stays, whatever is written later, until that row is
// right again. A term is a hash of key, sort key, version and contents. It has the payload's checksum, not its id:
// after a lost write of the table `payload` an id can name other bytes. For the same reason replicas that applied the
// same entries have the same digest.
//
// Threads: plain functions. Limits: two states of a space have the same digest by chance once in 2^64.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "dht/base/rows.hpp"

namespace ringfs::nodes {

using RowDigest = std::uint64_t;

// payload_checksum: of the payload that is the row's value; `value` is empty then. Without a payload the term is what
// rows.checksum holds, so a row need not be read to be erased.
RowDigest row_term(const RowAddress& row, std::uint64_t version, std::optional<std::uint64_t> payload_checksum,
                   std::string_view value);

}  // namespace ringfs::nodes

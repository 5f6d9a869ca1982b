// The term of a row: row_checksum() with the checksum of the payload in the place of its id.
#include "nodes/store/rows/row_digest.hpp"

#include "nodes/store/rows/rows.hpp"

namespace ringfs::nodes {

RowDigest row_term(const RowAddress& row, std::uint64_t version, std::optional<std::uint64_t> payload_checksum,
                   std::string_view value) {
  std::optional<PayloadId> contents;
  if (payload_checksum) contents = static_cast<PayloadId>(*payload_checksum);
  return row_checksum(row, version, contents, value);
}

}  // namespace ringfs::nodes

// The chunks of a snapshot: the rows of a partition as they are sent. The core does not look into them
// (docs/disk-format.md).
//
// Threads: plain functions. Errors: corrupt.
#pragma once

#include <functional>

#include "dht/base/rows.hpp"

namespace ringfs::nodes {

class ChunkWriter {
 public:
  ChunkWriter();
  void add(const RowAddress& row, std::uint64_t version, const SharedBytes& value);
  std::size_t bytes() const { return writer_.size() + blob_bytes_; }
  bool empty() const { return count_ == 0; }
  SharedBytes take_rows();
  std::vector<SharedBytes> take_blobs() { return std::move(blobs_); }

 private:
  Writer writer_;
  std::size_t count_ = 0;
  std::size_t blob_bytes_ = 0;
  std::vector<SharedBytes> blobs_;
};

// Whether a chunk of a peer decodes. Errors: corrupt.
Status check_chunk(const SharedBytes& rows, const std::vector<SharedBytes>& blobs);

// Calls `row` for each row of the chunk; checks the whole chunk before the first call.
Status read_chunk(const SharedBytes& rows, const std::vector<SharedBytes>& blobs,
                  const std::function<void(const RowAddress&, std::uint64_t, const SharedBytes&)>& row);

}  // namespace ringfs::nodes

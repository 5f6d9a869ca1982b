// Encoding and decoding of snapshot chunks.
#include "nodes/store/rows/chunks.hpp"

namespace ringfs::nodes {

namespace {

constexpr std::uint8_t chunk_format = 1;
enum class ValuePlace : std::uint8_t { inline_value = 0, blob = 1 };

struct Item {
  std::string_view key;
  std::string_view sort;
  std::uint64_t version = 0;
  std::string_view inline_value;
  const SharedBytes* blob = nullptr;  // set if the value is a blob
};

// Calls `visit` for each row, with views into the chunk.
template <class Visit>
Status walk(const SharedBytes& rows, const std::vector<SharedBytes>& blobs, const Visit& visit) {
  Reader reader(rows.view());
  std::uint8_t format = reader.u8();
  if (reader.ok() && format != chunk_format) {
    return fail(ErrorCode::corrupt, "snapshot chunk of format " + std::to_string(format));
  }
  std::size_t blob = 0;
  while (reader.ok() && !reader.rest().empty()) {
    Item item;
    item.key = reader.string();
    item.sort = reader.string();
    item.version = reader.u64();
    auto place = static_cast<ValuePlace>(reader.u8());
    if (place == ValuePlace::inline_value) {
      item.inline_value = reader.string();
    } else if (place == ValuePlace::blob && blob < blobs.size()) {
      item.blob = &blobs[blob++];
    } else {
      reader.fail();
    }
    if (reader.ok()) visit(item);
  }
  if (!reader.done() || blob != blobs.size()) return fail(ErrorCode::corrupt, "snapshot chunk does not decode");
  return {};
}

}  // namespace

ChunkWriter::ChunkWriter() { writer_.u8(chunk_format); }

void ChunkWriter::add(const RowAddress& row, std::uint64_t version, const SharedBytes& value) {
  ++count_;
  writer_.string(row.key);
  writer_.string(row.sort);
  writer_.u64(version);
  if (value.size() >= payload_threshold) {
    writer_.u8(static_cast<std::uint8_t>(ValuePlace::blob));
    blob_bytes_ += value.size();
    blobs_.push_back(value);
  } else {
    writer_.u8(static_cast<std::uint8_t>(ValuePlace::inline_value));
    writer_.string(value.view());
  }
}

SharedBytes ChunkWriter::take_rows() { return SharedBytes(writer_.take()); }

Status check_chunk(const SharedBytes& rows, const std::vector<SharedBytes>& blobs) {
  return walk(rows, blobs, [](const Item&) {});
}

Status read_chunk(const SharedBytes& rows, const std::vector<SharedBytes>& blobs,
                  const std::function<void(const RowAddress&, std::uint64_t, const SharedBytes&)>& row) {
  if (Status sound = check_chunk(rows, blobs); !sound) return sound;
  return walk(rows, blobs, [&](const Item& item) {
    row({std::string(item.key), std::string(item.sort)}, item.version,
        item.blob != nullptr ? *item.blob : SharedBytes(std::string(item.inline_value)));
  });
}

}  // namespace ringfs::nodes

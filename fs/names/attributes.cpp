// The rows of inodes, entries, orphans, garbage and append locks: encoding and decoding.
#include "fs/names/attributes.hpp"

#include <algorithm>

namespace ringfs::fs {

namespace {

constexpr std::uint8_t inode_format = 1;
constexpr std::uint8_t by_hash_format = 2;  // directories whose entries all lie in the order of their hashes

class Put {
 public:
  explicit Put(Writer& writer) : writer_(writer) {}
  template <class... Fields>
  void operator()(const Fields&... fields) {
    (put(fields), ...);
  }

 private:
  void put(std::uint32_t field) { writer_.u32(field); }
  void put(std::uint64_t field) { writer_.u64(field); }
  void put(std::int64_t field) { writer_.i64(field); }
  void put(OrphanRow::Kind field) { writer_.u8(static_cast<std::uint8_t>(field)); }
  void put(const std::string& field) { writer_.string(field); }
  void put(const Uuid& field) { write(writer_, field); }

  Writer& writer_;
};

class Take {
 public:
  explicit Take(Reader& reader) : reader_(reader) {}
  template <class... Fields>
  void operator()(Fields&... fields) {
    (take(fields), ...);
  }

 private:
  void take(std::uint32_t& field) { field = reader_.u32(); }
  void take(std::uint64_t& field) { field = reader_.u64(); }
  void take(std::int64_t& field) { field = reader_.i64(); }
  void take(OrphanRow::Kind& field) { field = static_cast<OrphanRow::Kind>(reader_.u8()); }
  void take(std::string& field) { field = reader_.string(); }
  void take(Uuid& field) { field = read_uuid(reader_); }

  Reader& reader_;
};

template <class Row>
std::string encoded(const Row& row) {
  Writer writer;
  Row::fields(row, Put(writer));
  return writer.take();
}

template <class Row>
Result<Row> decoded(std::string_view bytes, const char* what) {
  Reader reader(bytes);
  Row row;
  Row::fields(row, Take(reader));
  if (!reader.done()) return fail(ErrorCode::corrupt, what);
  return row;
}

void write_type(Writer& writer, std::uint32_t mode, InodeState state) {
  writer.u8(static_cast<std::uint8_t>((mode & S_IFMT) >> 12));
  writer.u8(static_cast<std::uint8_t>(state));
}

void write_header(Writer& writer, const InodeRow& row) {
  writer.u8(row.entries_by_hash ? by_hash_format : inode_format);
  write_type(writer, row.mode, row.state);
  writer.u8(0);
  writer.u32(row.mode);
  writer.u32(row.uid);
  writer.u32(row.gid);
}

}  // namespace

std::string encode(const InodeRow& row) {
  Writer writer;
  writer.reserve(InodeRow::encoded_size);
  write_header(writer, row);
  InodeRow::fields(row, Put(writer));
  RINGFS_CHECK(writer.size() == InodeRow::encoded_size);
  return writer.take();
}

Result<InodeRow> decode_inode(std::string_view bytes) {
  Reader reader(bytes);
  InodeRow row;
  std::uint8_t format = reader.u8();
  std::uint8_t type = reader.u8();
  std::uint8_t state = reader.u8();
  reader.u8();
  row.state = static_cast<InodeState>(state);
  row.mode = reader.u32();
  row.uid = reader.u32();
  row.gid = reader.u32();
  InodeRow::fields(row, Take(reader));
  row.entries_by_hash = format == by_hash_format;
  const bool known_format = format == inode_format || (row.entries_by_hash && row.is_directory());
  bool valid = reader.done() && known_format && state <= 1 && ((row.mode & S_IFMT) >> 12) == type && row.size >= 0;
  if (!valid) return fail(ErrorCode::corrupt, "inode row");
  return row;
}

Result<LoadedInode> loaded_inode(const ReadReply::Get& get) {
  if (!get.found) return fail(ErrorCode::stale_handle, "no such inode");
  Result<InodeRow> row = decode_inode(get.row.value.view());
  if (!row) return tl::unexpected(row.error());
  return LoadedInode{*row, get.row.version};
}

std::string inode_type_bytes(std::uint32_t mode, InodeState state) {
  Writer writer;
  write_type(writer, mode, state);
  return writer.take();
}

std::string inode_by_hash_bytes() { return std::string(1, static_cast<char>(by_hash_format)); }

std::string inode_header_bytes(const InodeRow& row) {
  Writer writer;
  write_header(writer, row);
  return writer.take();
}

std::uint32_t without_set_id(std::uint32_t mode) {
  mode &= ~static_cast<std::uint32_t>(S_ISUID);
  if ((mode & S_IXGRP) != 0) mode &= ~static_cast<std::uint32_t>(S_ISGID);
  return mode;
}

std::string inode_contents_bytes(const InodeRow& row) { return encode_u64(row.content) + encode_u64(row.cut); }

std::string inode_extent_bytes(const InodeRow& row) { return encode_i64(row.size) + inode_contents_bytes(row); }

std::string encode_u32(std::uint32_t value) {
  Writer writer;
  writer.u32(value);
  return writer.take();
}

std::string encode_u64(std::uint64_t value) {
  Writer writer;
  writer.u64(value);
  return writer.take();
}

std::string encode_i64(std::int64_t value) { return encode_u64(static_cast<std::uint64_t>(value)); }

Attributes to_attributes(InodeNumber inode, const InodeRow& row) {
  Attributes attributes;
  attributes.inode = inode;
  attributes.mode = row.mode;
  attributes.links = static_cast<std::uint32_t>(std::clamp<std::int64_t>(row.links, 0, UINT32_MAX));
  attributes.uid = row.uid;
  attributes.gid = row.gid;
  attributes.device = row.device;
  attributes.size = row.is_directory() ? 4096 : static_cast<std::uint64_t>(row.size);
  attributes.blocks = (attributes.size + 511) / 512;
  attributes.accessed = TimeSpec{row.accessed};
  attributes.modified = TimeSpec{row.modified};
  attributes.changed = TimeSpec{row.changed};
  attributes.generation = row.generation;
  return attributes;
}

std::string encode(const EntryRow& row) { return encoded(row); }

Result<EntryRow> decode_entry(std::string_view bytes) {
  Result<EntryRow> row = decoded<EntryRow>(bytes, "directory entry");
  if (row && row->inode == 0) return fail(ErrorCode::corrupt, "directory entry");
  return row;
}

static_assert(OrphanRow::hold_offset == sizeof(OrphanRow::kind) + sizeof(OrphanRow::since));
std::string encode(const OrphanRow& row) { return encoded(row); }

Result<OrphanRow> decode_orphan(std::string_view bytes) {
  Result<OrphanRow> row = decoded<OrphanRow>(bytes, "orphan row");
  const bool known = row && (row->kind == OrphanRow::Kind::unlinked || row->kind == OrphanRow::Kind::half_made);
  if (row && !known) return fail(ErrorCode::corrupt, "orphan row");
  return row;
}

std::string encode(const GarbageRow& row) { return encoded(row); }
Result<GarbageRow> decode_garbage(std::string_view bytes) { return decoded<GarbageRow>(bytes, "garbage row"); }

std::string encode(const AppendLockRow& row) { return encoded(row); }
Result<AppendLockRow> decode_append_lock(std::string_view bytes) {
  return decoded<AppendLockRow>(bytes, "append lock");
}

}  // namespace ringfs::fs

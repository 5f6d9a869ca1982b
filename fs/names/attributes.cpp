#include "fs/names/attributes.hpp"

#include <algorithm>

namespace ringfs::fs {

namespace {

constexpr std::uint8_t inode_format = 1;
constexpr std::uint8_t by_hash_format = 2;  // of directories whose entries all lie in the order of their hashes

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
  writer.i64(row.links);
  writer.i64(row.size);
  writer.u64(row.content);
  writer.u64(row.cut);
  writer.i64(row.modified);
  writer.i64(row.changed);
  writer.i64(row.accessed);
  writer.u64(row.device);
  writer.u64(row.generation);
  writer.u64(row.parent);
  writer.i64(row.change);
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
  row.links = reader.i64();
  row.size = reader.i64();
  row.content = reader.u64();
  row.cut = reader.u64();
  row.modified = reader.i64();
  row.changed = reader.i64();
  row.accessed = reader.i64();
  row.device = reader.u64();
  row.generation = reader.u64();
  row.parent = reader.u64();
  row.change = reader.i64();
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

std::string encode(const EntryRow& row) {
  Writer writer;
  writer.u64(row.inode);
  writer.u32(row.type);
  return writer.take();
}

Result<EntryRow> decode_entry(std::string_view bytes) {
  Reader reader(bytes);
  EntryRow row;
  row.inode = reader.u64();
  row.type = reader.u32();
  if (!reader.done() || row.inode == 0) return fail(ErrorCode::corrupt, "directory entry");
  return row;
}

std::string encode(const OrphanRow& row) {
  Writer writer;
  writer.u8(static_cast<std::uint8_t>(row.kind));
  writer.i64(row.since);
  RINGFS_CHECK(writer.size() == OrphanRow::hold_offset);
  writer.i64(row.holds);
  writer.u64(row.parent);
  writer.string(row.name);
  return writer.take();
}

Result<OrphanRow> decode_orphan(std::string_view bytes) {
  Reader reader(bytes);
  OrphanRow row;
  std::uint8_t kind = reader.u8();
  row.kind = static_cast<OrphanRow::Kind>(kind);
  row.since = reader.i64();
  row.holds = reader.i64();
  row.parent = reader.u64();
  row.name = std::string(reader.string());
  if (!reader.done() || kind < 1 || kind > 2) return fail(ErrorCode::corrupt, "orphan row");
  return row;
}

std::string encode(const GarbageRow& row) {
  Writer writer;
  writer.i64(row.since);
  return writer.take();
}

Result<GarbageRow> decode_garbage(std::string_view bytes) {
  Reader reader(bytes);
  GarbageRow row;
  row.since = reader.i64();
  if (!reader.done()) return fail(ErrorCode::corrupt, "garbage row");
  return row;
}

std::string encode(const AppendLockRow& row) {
  Writer writer;
  write(writer, row.owner);
  writer.u64(row.token);
  writer.i64(row.expires);
  return writer.take();
}

Result<AppendLockRow> decode_append_lock(std::string_view bytes) {
  Reader reader(bytes);
  AppendLockRow row;
  row.owner = read_uuid(reader);
  row.token = reader.u64();
  row.expires = reader.i64();
  if (!reader.done()) return fail(ErrorCode::corrupt, "append lock");
  return row;
}

}  // namespace ringfs::fs

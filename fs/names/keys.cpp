// Sort keys and placements of rows.
#include "fs/names/keys.hpp"

#include <algorithm>

#include "fs/names/entry_order.hpp"

namespace ringfs::fs {

namespace {

std::string object_key(InodeNumber inode) { return placement_key(placement_of(inode)); }

std::string sort_key(std::string_view letter, InodeNumber inode) {
  Writer writer;
  writer.raw(letter);
  writer.u64(inode);
  return writer.take();
}

std::uint32_t anchor_placement(PartitionId partition, unsigned partition_bits) {
  return index_of(partition) << (27 - partition_bits);
}

}  // namespace

PartitionId partition_of_inode(InodeNumber inode, unsigned partition_bits) {
  return PartitionId{placement_of(inode) >> (27 - partition_bits)};
}

std::uint32_t fresh_placement(Random& random) { return static_cast<std::uint32_t>(random.below(1U << 27)); }

InodeNumber fresh_inode(std::uint32_t placement, Random& random) {
  constexpr std::uint64_t reserved = 1024;
  std::uint64_t low = reserved + random.below((std::uint64_t{1} << 36) - reserved);
  return (static_cast<InodeNumber>(placement) << 36) | low;
}

RowAddress inode_row(InodeNumber inode) { return {object_key(inode), sort_key("I/", inode)}; }
RowAddress inline_row(InodeNumber inode) { return {object_key(inode), sort_key("D/", inode)}; }
RowAddress symlink_row(InodeNumber inode) { return {object_key(inode), sort_key("S/", inode)}; }
RowAddress append_lock_row(InodeNumber inode) { return {object_key(inode), sort_key("L/", inode)}; }

RowAddress entry_prefix(InodeNumber directory) { return {object_key(directory), sort_key("E/", directory)}; }

RowAddress entry_row(InodeNumber directory, std::string_view name) {
  RowAddress row = entry_prefix(directory);
  row.sort.append(":").append(entry_hash_bytes(entry_hash(name))).append(name);
  return row;
}

RowAddress old_entry_prefix(InodeNumber directory) {
  RowAddress row = entry_prefix(directory);
  row.sort.append("/");
  return row;
}

RowAddress old_entry_row(InodeNumber directory, std::string_view name) {
  RowAddress row = old_entry_prefix(directory);
  row.sort.append(name);
  return row;
}

std::string_view entry_name(std::string_view sort) {
  constexpr std::size_t mark = 10;
  if (sort.size() <= mark) return {};
  const std::size_t begin = sort[mark] == ':' ? mark + 1 + entry_hash_size : mark + 1;
  return sort.substr(std::min(begin, sort.size()));
}

InodeNumber inode_of(std::string_view sort) {
  if (sort.size() < 10) return 0;
  return Reader(sort.substr(2)).u64();
}

RowAddress segment_prefix(InodeNumber inode, std::uint64_t content) {
  Writer writer;
  writer.raw("C/");
  writer.u64(inode);
  writer.u64(content);
  return {object_key(inode), writer.take()};
}

RowAddress segment_row(InodeNumber inode, std::uint64_t content, std::uint64_t segment) {
  RowAddress row = segment_prefix(inode, content);
  Writer writer;
  writer.u64(segment);
  row.sort.append(writer.bytes());
  return row;
}

std::uint64_t segment_of(std::string_view sort) { return sort.size() == 26 ? Reader(sort.substr(18)).u64() : 0; }

std::string anchor_key(PartitionId partition, unsigned partition_bits) {
  return placement_key(anchor_placement(partition, partition_bits));
}

RowAddress orphan_row(InodeNumber inode, unsigned partition_bits) {
  return {anchor_key(partition_of_inode(inode, partition_bits), partition_bits), sort_key("O/", inode)};
}

RowAddress garbage_prefix(InodeNumber inode, unsigned partition_bits) {
  return {anchor_key(partition_of_inode(inode, partition_bits), partition_bits), sort_key("G/", inode)};
}

RowAddress garbage_row(InodeNumber inode, std::uint64_t content, unsigned partition_bits) {
  RowAddress row = garbage_prefix(inode, partition_bits);
  Writer writer;
  writer.u64(content);
  row.sort.append(writer.bytes());
  return row;
}

RowAddress given_up_row(InodeNumber parent, InodeNumber directory, unsigned partition_bits) {
  return {anchor_key(partition_of_inode(parent, partition_bits), partition_bits), sort_key("H/", directory)};
}

RowAddress claim_row(PartitionId partition, unsigned partition_bits) {
  return {anchor_key(partition, partition_bits), std::string(marks_sort)};
}

std::vector<std::uint64_t> marked_chunks(std::uint64_t segment, std::string_view value) {
  std::vector<std::uint64_t> chunks;
  for (std::size_t i = 0; i < value.size() && i < segment_chunks; ++i) {
    if (value[i] != 0) chunks.push_back(segment * segment_chunks + i);
  }
  return chunks;
}

std::string chunk_key(InodeNumber inode, std::uint64_t content, std::uint64_t index) {
  Writer writer;
  writer.raw("c/");
  writer.u64(inode);
  writer.u64(content);
  writer.u64(index);
  return writer.take();
}

std::string block_sort(std::uint64_t block) {
  Writer writer;
  writer.u16(static_cast<std::uint16_t>(block));
  return writer.take();
}

RowAddress directory_move_row() { return {"fs/directory-move", "lock"}; }

}  // namespace ringfs::fs

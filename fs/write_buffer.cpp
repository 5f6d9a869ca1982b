#include "fs/write_buffer.hpp"

#include <algorithm>

#include "fs/file_system.hpp"

namespace ringfs {

namespace {

// Writes up to this size grow the piece before them instead of becoming pieces of their own.
constexpr std::size_t small_write = 4096;

}  // namespace

const SharedBytes& ExtentMap::freeze(Piece& piece) {
  if (!piece.grown.empty()) {
    piece.shared = SharedBytes(std::move(piece.grown));
    piece.grown = std::string();
  }
  return piece.shared;
}

void ExtentMap::insert(std::uint64_t offset, SharedBytes bytes) {
  for (std::size_t done = 0; done < bytes.size();) {
    std::uint64_t place = offset + done;
    std::size_t part = std::min<std::size_t>(bytes.size() - done, block_bytes - place % block_bytes);
    insert_in_block(place, SharedBytes(bytes, done, part));
    done += part;
  }
}

void ExtentMap::make_room(std::uint64_t begin, std::uint64_t end) {
  auto piece = pieces_.upper_bound(begin);
  if (piece != pieces_.begin()) --piece;
  while (piece != pieces_.end() && piece->first < end) {
    const std::uint64_t first = piece->first;
    const std::uint64_t last = first + piece->second.size();
    if (last <= begin) {
      ++piece;
      continue;
    }
    SharedBytes whole = freeze(piece->second);
    bytes_ -= whole.size();
    piece = pieces_.erase(piece);
    if (first < begin) {
      pieces_[first].shared = SharedBytes(whole, 0, begin - first);
      bytes_ += begin - first;
    }
    if (last > end) {
      pieces_[end].shared = SharedBytes(whole, end - first, last - end);
      bytes_ += last - end;
      break;
    }
  }
}

void ExtentMap::insert_in_block(std::uint64_t offset, SharedBytes bytes) {
  make_room(offset, offset + bytes.size());
  bytes_ += bytes.size();
  if (bytes.size() <= small_write) {
    auto before = pieces_.lower_bound(offset);
    if (before != pieces_.begin()) {
      --before;
      Piece& piece = before->second;
      bool adjacent = before->first + piece.size() == offset && before->first / block_bytes == offset / block_bytes;
      if (adjacent && (!piece.grown.empty() || piece.shared.size() <= small_write)) {
        if (piece.grown.empty()) piece.grown = piece.shared.str();
        piece.shared = SharedBytes();
        piece.grown.append(bytes.view());
        return;
      }
    }
    // A copy: a few bytes must not keep a whole receive buffer alive.
    pieces_[offset].shared = SharedBytes(bytes.str());
    return;
  }
  pieces_[offset].shared = std::move(bytes);
}

std::vector<Extent> ExtentMap::slice(std::uint64_t begin, std::uint64_t end) {
  std::vector<Extent> result;
  auto piece = pieces_.upper_bound(begin);
  if (piece != pieces_.begin()) --piece;
  for (; piece != pieces_.end() && piece->first < end; ++piece) {
    const std::uint64_t first = std::max(begin, piece->first);
    const std::uint64_t last = std::min(end, piece->first + piece->second.size());
    if (first >= last) continue;
    result.push_back({first, SharedBytes(freeze(piece->second), first - piece->first, last - first)});
  }
  return result;
}

void ExtentMap::clear() {
  pieces_.clear();
  bytes_ = 0;
}

std::uint64_t ExtentMap::end() const {
  if (pieces_.empty()) return 0;
  auto last = std::prev(pieces_.end());
  return last->first + last->second.size();
}

WriteBuffer::Weight WriteBuffer::weigh(const Chunk& chunk) {
  return {chunk.dirty.cost() + chunk.sent.cost(), chunk.sent.bytes(), chunk.dirty.bytes() == chunk_bytes};
}

void WriteBuffer::account(const Weight& before, const Weight& after) {
  cost_ += after.cost - before.cost;
  sent_bytes_ += after.sent - before.sent;
  full_ += static_cast<std::size_t>(after.full) - static_cast<std::size_t>(before.full);
}

void WriteBuffer::write(std::uint64_t offset, SharedBytes bytes) {
  for (std::size_t done = 0; done < bytes.size();) {
    std::uint64_t place = offset + done;
    std::size_t part = std::min<std::size_t>(bytes.size() - done, chunk_bytes - place % chunk_bytes);
    Chunk& chunk = chunks_[place / chunk_bytes];
    Weight before = weigh(chunk);
    chunk.dirty.insert(place, SharedBytes(bytes, done, part));
    account(before, weigh(chunk));
    done += part;
  }
}

std::vector<Extent> WriteBuffer::take(std::uint64_t index) {
  auto place = chunks_.find(index);
  if (place == chunks_.end()) return {};
  Chunk& chunk = place->second;
  Weight before = weigh(chunk);
  std::vector<Extent> extents = chunk.dirty.all();
  for (const Extent& extent : extents) chunk.sent.insert(extent.offset, extent.bytes);
  chunk.dirty.clear();
  account(before, weigh(chunk));
  return extents;
}

std::vector<std::uint64_t> WriteBuffer::dirty_chunks() const {
  std::vector<std::uint64_t> result;
  for (const auto& [index, chunk] : chunks_) {
    if (!chunk.dirty.empty()) result.push_back(index);
  }
  return result;
}

std::vector<std::uint64_t> WriteBuffer::full_chunks() const {
  std::vector<std::uint64_t> result;
  for (const auto& [index, chunk] : chunks_) {
    if (chunk.dirty.bytes() == chunk_bytes) result.push_back(index);
  }
  return result;
}

void WriteBuffer::published() {
  for (auto place = chunks_.begin(); place != chunks_.end();) {
    Chunk& chunk = place->second;
    Weight before = weigh(chunk);
    chunk.sent.clear();
    account(before, weigh(chunk));
    place = chunk.dirty.empty() ? chunks_.erase(place) : std::next(place);
  }
}

void WriteBuffer::unsend() {
  for (auto& [index, chunk] : chunks_) {
    if (chunk.sent.empty()) continue;
    Weight before = weigh(chunk);
    for (const Extent& extent : chunk.dirty.all()) chunk.sent.insert(extent.offset, extent.bytes);
    std::swap(chunk.dirty, chunk.sent);
    chunk.sent.clear();
    account(before, weigh(chunk));
  }
}

void WriteBuffer::clear() {
  chunks_.clear();
  cost_ = sent_bytes_ = full_ = 0;
}

bool WriteBuffer::has_dirty() const {
  return std::any_of(chunks_.begin(), chunks_.end(), [](const auto& chunk) { return !chunk.second.dirty.empty(); });
}

std::uint64_t WriteBuffer::end() const {
  if (chunks_.empty()) return 0;
  const Chunk& last = std::prev(chunks_.end())->second;
  return std::max(last.dirty.end(), last.sent.end());
}

std::uint64_t WriteBuffer::sent_end() const {
  for (auto chunk = chunks_.rbegin(); chunk != chunks_.rend(); ++chunk) {
    if (!chunk->second.sent.empty()) return chunk->second.sent.end();
  }
  return 0;
}

std::vector<Extent> WriteBuffer::overlay(std::uint64_t begin, std::uint64_t end) {
  std::vector<Extent> result;
  for (auto place = chunks_.lower_bound(begin / chunk_bytes); place != chunks_.end(); ++place) {
    if (place->first * chunk_bytes >= end) break;
    for (ExtentMap* map : {&place->second.sent, &place->second.dirty}) {
      std::vector<Extent> part = map->slice(begin, end);
      std::move(part.begin(), part.end(), std::back_inserter(result));
    }
  }
  return result;
}

}  // namespace ringfs

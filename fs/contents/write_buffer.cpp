// Pieces of written bytes, and how much memory they keep alive.
#include "fs/contents/write_buffer.hpp"

#include <algorithm>

#include "fs/file_system.hpp"

namespace ringfs::fs {

namespace {

// Writes up to this size are appended to the piece before them instead of becoming pieces of their own.
constexpr std::size_t small_write = 4096;

}  // namespace

Payloads::Id Payloads::add(std::size_t bytes) {
  payloads_.emplace(++last_, Payload{bytes, 0});
  alive_ += bytes;
  return last_;
}

void Payloads::hold(Id id) {
  if (id != none) ++payloads_.at(id).pieces;
}

void Payloads::release(Id id) {
  if (id == none) return;
  --payloads_.at(id).pieces;
  release_unused(id);
}

void Payloads::release_unused(Id id) {
  auto payload = payloads_.find(id);
  if (payload == payloads_.end() || payload->second.pieces > 0) return;
  alive_ -= payload->second.bytes;
  payloads_.erase(payload);
}

const SharedBytes& ExtentMap::freeze(Piece& piece) {
  if (!piece.grown.empty()) {
    piece.shared = SharedBytes(std::move(piece.grown));
    piece.grown = std::string();
  }
  return piece.shared;
}

void ExtentMap::insert(std::uint64_t offset, const SharedBytes& bytes, Payloads::Id payload) {
  for (std::size_t done = 0; done < bytes.size();) {
    std::uint64_t place = offset + done;
    std::size_t part = std::min<std::size_t>(bytes.size() - done, block_bytes - place % block_bytes);
    insert_in_block(place, SharedBytes(bytes, done, part), payload);
    done += part;
  }
}

void ExtentMap::put(std::uint64_t offset, SharedBytes bytes, Payloads::Id payload) {
  bytes_ += bytes.size();
  if (payload == Payloads::none) {
    own_bytes_ += bytes.size();
  } else {
    payloads_->hold(payload);
  }
  Piece& piece = pieces_[offset];
  piece.shared = std::move(bytes);
  piece.payload = payload;
}

void ExtentMap::make_room(std::uint64_t begin, std::uint64_t end) {
  auto place = pieces_.upper_bound(begin);
  if (place != pieces_.begin()) --place;
  while (place != pieces_.end() && place->first < end) {
    const std::uint64_t first = place->first;
    const std::uint64_t last = first + place->second.size();
    if (last <= begin) {
      ++place;
      continue;
    }
    const SharedBytes whole = freeze(place->second);
    const Payloads::Id payload = place->second.payload;
    bytes_ -= whole.size();
    if (payload == Payloads::none) own_bytes_ -= whole.size();
    place = pieces_.erase(place);
    // The rest of a piece with bytes of its own is copied: else all the old bytes would stay alive.
    auto keep = [&](std::uint64_t from, std::uint64_t to) {
      SharedBytes rest(whole, from - first, to - from);
      put(from, payload == Payloads::none ? SharedBytes(rest.str()) : std::move(rest), payload);
    };
    if (first < begin) keep(first, begin);
    if (last > end) keep(end, last);
    if (payload != Payloads::none) payloads_->release(payload);
    if (last > end) break;
  }
}

void ExtentMap::insert_in_block(std::uint64_t offset, SharedBytes bytes, Payloads::Id payload) {
  make_room(offset, offset + bytes.size());
  if (bytes.size() > small_write) {
    put(offset, std::move(bytes), payload);
    return;
  }
  auto before = pieces_.lower_bound(offset);
  if (before != pieces_.begin()) {
    --before;
    Piece& piece = before->second;
    const bool adjacent = before->first + piece.size() == offset && before->first / block_bytes == offset / block_bytes;
    const bool small = piece.payload == Payloads::none && (!piece.grown.empty() || piece.shared.size() <= small_write);
    if (adjacent && small) {
      if (piece.grown.empty()) piece.grown = piece.shared.str();
      piece.shared = SharedBytes();
      piece.grown.append(bytes.view());
      bytes_ += bytes.size();
      own_bytes_ += bytes.size();
      return;
    }
  }
  // A copy: a few bytes must not keep a whole receive buffer alive.
  put(offset, SharedBytes(bytes.str()), Payloads::none);
}

std::vector<Extent> ExtentMap::slice(std::uint64_t begin, std::uint64_t end) {
  std::vector<Extent> result;
  auto piece = pieces_.upper_bound(begin);
  if (piece != pieces_.begin()) --piece;
  for (; piece != pieces_.end() && piece->first < end; ++piece) {
    const std::uint64_t first = std::max(begin, piece->first);
    const std::uint64_t last = std::min(end, piece->first + piece->second.size());
    if (first >= last) continue;
    result.push_back(
        {first, SharedBytes(freeze(piece->second), first - piece->first, last - first), piece->second.payload});
  }
  return result;
}

void ExtentMap::clear() {
  for (const auto& [offset, piece] : pieces_) {
    if (piece.payload != Payloads::none) payloads_->release(piece.payload);
  }
  pieces_.clear();
  bytes_ = own_bytes_ = 0;
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

void WriteBuffer::write(std::uint64_t offset, const SharedBytes& bytes) {
  const Payloads::Id payload = payloads_.add(bytes.size());
  for (std::size_t done = 0; done < bytes.size();) {
    std::uint64_t place = offset + done;
    std::size_t part = std::min<std::size_t>(bytes.size() - done, chunk_bytes - place % chunk_bytes);
    Chunk& chunk = chunks_.try_emplace(place / chunk_bytes, &payloads_).first->second;
    Weight before = weigh(chunk);
    chunk.dirty.insert(place, SharedBytes(bytes, done, part), payload);
    account(before, weigh(chunk));
    done += part;
  }
  payloads_.release_unused(payload);
}

std::vector<Extent> WriteBuffer::take(std::uint64_t index) {
  auto place = chunks_.find(index);
  if (place == chunks_.end()) return {};
  Chunk& chunk = place->second;
  Weight before = weigh(chunk);
  std::vector<Extent> extents = chunk.dirty.all();
  for (const Extent& extent : extents) chunk.sent.insert(extent.offset, extent.bytes, extent.payload);
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

std::vector<std::uint64_t> WriteBuffer::finished_chunks() const {
  std::vector<std::uint64_t> result;
  std::size_t finished = 0;
  for (const auto& [index, chunk] : chunks_) {
    if (chunk.dirty.empty()) continue;
    result.push_back(index);
    if (chunk.dirty.bytes() == chunk_bytes) finished = result.size();
  }
  result.resize(finished);
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
    for (const Extent& extent : chunk.dirty.all()) chunk.sent.insert(extent.offset, extent.bytes, extent.payload);
    std::swap(chunk.dirty, chunk.sent);
    chunk.sent.clear();
    account(before, weigh(chunk));
  }
}

void WriteBuffer::clear() {
  for (auto& [index, chunk] : chunks_) {
    chunk.dirty.clear();
    chunk.sent.clear();
  }
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

}  // namespace ringfs::fs

// Written bytes of one file that are not certainly in the ring yet, shared by all handles of this instance.
//
// Bytes are `dirty` until they are sent. They are `sent` until the size and time that make them part of the file are
// committed, too (published). Only then they leave memory: whatever happens to the file meanwhile (a truncation, or a
// conversion by another mount), unsend() makes everything dirty again, and no acknowledged byte is lost. ExtentMap
// keeps the newest bytes of each place. Pieces never cross a block, so that a full aligned block is sent without a
// copy. A piece of a large write keeps that write's whole buffer alive, so the buffer counts as a whole until its last
// piece has gone. Threads: one loop. Limits: cost() counts what is alive and the pieces' overhead;
// FileSystemOptions::max_dirty_bytes bounds the sum. Source: docs/design.md#write-behind-and-kernel-pages.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "dht/base/bytes.hpp"

namespace ringfs::fs {

// The buffers of large writes in which pieces lie, and how many bytes they keep alive. Each buffer counts once.
class Payloads {
 public:
  using Id = std::uint64_t;
  static constexpr Id none = 0;  // a piece with bytes of its own

  Id add(std::size_t bytes);  // without pieces: release_unused() must follow
  void hold(Id id);
  void release(Id id);
  void release_unused(Id id);
  std::size_t alive() const { return alive_; }

 private:
  struct Payload {
    std::size_t bytes = 0;
    std::size_t pieces = 0;
  };
  std::unordered_map<Id, Payload> payloads_;
  Id last_ = none;
  std::size_t alive_ = 0;
};

struct Extent {
  std::uint64_t offset = 0;
  SharedBytes bytes;
  Payloads::Id payload = Payloads::none;
};

class ExtentMap {
 public:
  static constexpr std::size_t piece_overhead = 128;

  // `payloads` counts the buffers of pieces that come with an id; it outlives this.
  explicit ExtentMap(Payloads* payloads = nullptr) : payloads_(payloads) {}

  // Newer bytes win.
  void insert(std::uint64_t offset, const SharedBytes& bytes, Payloads::Id payload = Payloads::none);
  // The parts of the pieces that lie in [begin, end), ascending.
  std::vector<Extent> slice(std::uint64_t begin, std::uint64_t end);
  std::vector<Extent> all() { return slice(0, UINT64_MAX); }
  void clear();

  bool empty() const { return pieces_.empty(); }
  std::size_t bytes() const { return bytes_; }
  // Without the buffers that `payloads` counts.
  std::size_t cost() const { return own_bytes_ + pieces_.size() * piece_overhead; }
  std::uint64_t end() const;

 private:
  struct Piece {
    SharedBytes shared;
    std::string grown;  // if not empty, these are the bytes, and small writes behind them are appended
    Payloads::Id payload = Payloads::none;
    std::size_t size() const { return grown.empty() ? shared.size() : grown.size(); }
  };
  static const SharedBytes& freeze(Piece& piece);
  void insert_in_block(std::uint64_t offset, SharedBytes bytes, Payloads::Id payload);
  void put(std::uint64_t offset, SharedBytes bytes, Payloads::Id payload);
  void make_room(std::uint64_t begin, std::uint64_t end);

  std::map<std::uint64_t, Piece> pieces_;  // by offset in the file
  std::size_t bytes_ = 0;
  std::size_t own_bytes_ = 0;  // of pieces without a payload
  Payloads* payloads_;
};

class WriteBuffer {
 public:
  WriteBuffer() = default;
  WriteBuffer(const WriteBuffer&) = delete;
  WriteBuffer& operator=(const WriteBuffer&) = delete;

  void write(std::uint64_t offset, const SharedBytes& bytes);

  // The dirty bytes of a chunk, which count as sent from now on.
  std::vector<Extent> take(std::uint64_t chunk);
  std::vector<std::uint64_t> dirty_chunks() const;
  // The chunks that can be sent while the file is being written: the dirty ones up to the last one of which every byte
  // is dirty. Those before it are sent, full or not: the published size must not cover bytes that were not sent.
  std::vector<std::uint64_t> finished_chunks() const;
  bool has_full_chunk() const { return full_ > 0; }

  void published();  // all that was sent is part of the file
  void unsend();     // all that was sent is dirty again, below what was written since
  void clear();

  bool empty() const { return chunks_.empty(); }
  bool has_dirty() const;
  std::size_t cost() const { return cost_ + payloads_.alive(); }
  std::size_t sent_bytes() const { return sent_bytes_; }
  std::uint64_t end() const;       // of everything here
  std::uint64_t sent_end() const;  // of what was sent

  // What lies over the stored bytes in [begin, end): sent, then dirty; later extents win.
  std::vector<Extent> overlay(std::uint64_t begin, std::uint64_t end);

 private:
  struct Chunk {
    explicit Chunk(Payloads* payloads) : dirty(payloads), sent(payloads) {}
    ExtentMap dirty, sent;
  };
  struct Weight {  // of one chunk in the sums
    std::size_t cost = 0, sent = 0;
    bool full = false;
  };
  static Weight weigh(const Chunk& chunk);
  void account(const Weight& before, const Weight& after);

  Payloads payloads_;
  std::map<std::uint64_t, Chunk> chunks_;
  std::size_t cost_ = 0, sent_bytes_ = 0, full_ = 0;  // cost_: of all chunks, without payloads_
};

}  // namespace ringfs::fs

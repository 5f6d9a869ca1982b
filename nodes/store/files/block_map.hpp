// Which blocks of a file are taken: a bit for each, so that memory follows from the file's length alone (32 MiB for
// each TiB of blocks of 4 KiB), however its free room is scattered.
//
// take() gives the lowest run that is long enough (first fit), which keeps a file short. Threads: one. Errors: none.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

namespace ringfs::nodes {

class BlockMap {
 public:
  // The first of `count` neighbouring blocks (at least one), now taken.
  std::uint64_t take(std::uint64_t count);
  // These blocks; false and nothing is done: one of them is taken already.
  bool take_at(std::uint64_t first, std::uint64_t count);
  void give_back(std::uint64_t first, std::uint64_t count);

  std::uint64_t taken() const { return taken_; }
  std::uint64_t end() const;  // above the last block that is taken
  // A bit for each block from number * word_bits on, the lowest first: taken or not.
  std::uint64_t word(std::uint64_t number) const { return number < words_.size() ? words_[number] : 0; }
  static constexpr std::uint64_t word_bits = 64;

 private:
  bool taken_at(std::uint64_t block) const { return (words_[block / word_bits] >> block % word_bits & 1) != 0; }
  std::uint64_t find(std::uint64_t from, std::uint64_t count) const;
  void mark(std::uint64_t first, std::uint64_t count);

  std::vector<std::uint64_t> words_;
  std::uint64_t taken_ = 0;
  // Below search_from_[n] no n neighbouring blocks are free; longer runs are sought from the last one's start.
  std::array<std::uint64_t, 17> search_from_{};
};

}  // namespace ringfs::nodes

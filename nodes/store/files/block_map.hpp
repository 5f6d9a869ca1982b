// Which blocks of a file are taken, a bit for each. So its memory follows from the length of the file alone, 32 MiB for
// each TiB in blocks of 4 KiB, however the free blocks are scattered.
//
// take() gives the lowest run that is long enough (first fit), which keeps the file short. Threads: one. Errors: none.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

namespace ringfs::nodes {

class BlockMap {
 public:
  // Takes `count` (at least one) consecutive blocks, and gives the first.
  std::uint64_t take(std::uint64_t count);
  // Takes these blocks. False: one of them is taken, and nothing was done.
  bool take_at(std::uint64_t first, std::uint64_t count);
  void give_back(std::uint64_t first, std::uint64_t count);

  std::uint64_t taken() const { return taken_; }
  std::uint64_t end() const;  // one above the last block that is taken
  // The bits of the blocks from number * word_bits on, the lowest first; 1: taken.
  std::uint64_t word(std::uint64_t number) const { return number < words_.size() ? words_[number] : 0; }
  static constexpr std::uint64_t word_bits = 64;

 private:
  bool taken_at(std::uint64_t block) const { return (words_[block / word_bits] >> block % word_bits & 1) != 0; }
  std::uint64_t find(std::uint64_t from, std::uint64_t count) const;
  void mark(std::uint64_t first, std::uint64_t count);

  std::vector<std::uint64_t> words_;
  std::uint64_t taken_ = 0;
  // No n consecutive blocks are free below search_from_[n]. Longer runs are searched from the last element on.
  std::array<std::uint64_t, 17> search_from_{};
};

}  // namespace ringfs::nodes

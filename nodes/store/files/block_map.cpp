// First fit over words of 64 blocks.
#include "nodes/store/files/block_map.hpp"

#include <algorithm>
#include <bit>

namespace ringfs::nodes {

std::uint64_t BlockMap::find(std::uint64_t from, std::uint64_t count) const {
  std::uint64_t start = from;
  for (std::uint64_t block = from; block < words_.size() * word_bits;) {
    const std::uint64_t rest = words_[block / word_bits] >> block % word_bits;
    const std::uint64_t left = word_bits - block % word_bits;
    const std::uint64_t zeros = std::min<std::uint64_t>(static_cast<unsigned>(std::countr_zero(rest)), left);
    block += zeros;
    if (block - start >= count) return start;
    if (zeros == left) continue;  // the run may go on in the next word
    block += static_cast<unsigned>(std::countr_one(rest >> zeros));
    start = block;
  }
  return start;  // everything beyond is free
}

void BlockMap::mark(std::uint64_t first, std::uint64_t count) {
  if (words_.size() * word_bits < first + count) words_.resize((first + count + word_bits - 1) / word_bits);
  for (std::uint64_t block = first; block < first + count; ++block) {
    words_[block / word_bits] |= std::uint64_t{1} << block % word_bits;
  }
  taken_ += count;
}

std::uint64_t BlockMap::take(std::uint64_t count) {
  const std::size_t known = std::min<std::uint64_t>(count, search_from_.size() - 1);
  const std::uint64_t first = find(search_from_[known], count);
  mark(first, count);
  if (known == count) search_from_[known] = first + count;
  return first;
}

bool BlockMap::take_at(std::uint64_t first, std::uint64_t count) {
  for (std::uint64_t block = first; block < std::min(first + count, words_.size() * word_bits); ++block) {
    if (taken_at(block)) return false;
  }
  mark(first, count);
  return true;
}

void BlockMap::give_back(std::uint64_t first, std::uint64_t count) {
  for (std::uint64_t block = first; block < first + count; ++block) {
    words_[block / word_bits] &= ~(std::uint64_t{1} << block % word_bits);
  }
  taken_ -= count;
  // A run of n may begin before these blocks, with free ones that were too few until now.
  for (std::uint64_t n = 1; n < search_from_.size(); ++n) {
    search_from_[n] = std::min(search_from_[n], first - std::min(first, n - 1));
  }
}

std::uint64_t BlockMap::end() const {
  for (std::size_t word = words_.size(); word > 0; --word) {
    if (words_[word - 1] != 0) return word * word_bits - static_cast<unsigned>(std::countl_zero(words_[word - 1]));
  }
  return 0;
}

}  // namespace ringfs::nodes

// Finding and punching holes, a bit for each block.
#include "nodes/store/files/file_holes.hpp"

#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>

#include "nodes/store/files/failure.hpp"

namespace ringfs::nodes {

namespace {
constexpr std::uint64_t word_bits = BlockMap::word_bits;
}

void FileHoles::mark(std::uint64_t first, std::uint64_t count) {
  if (holes_.size() * word_bits < first + count) holes_.resize((first + count + word_bits - 1) / word_bits);
  for (std::uint64_t block = first; block < first + count; ++block) {
    std::uint64_t& word = holes_[block / word_bits];
    const std::uint64_t bit = std::uint64_t{1} << block % word_bits;
    count_ += (word & bit) == 0 ? 1 : 0;
    word |= bit;
  }
}

void FileHoles::written(std::uint64_t first, std::uint64_t count) {
  for (std::uint64_t block = first; block < std::min(first + count, holes_.size() * word_bits); ++block) {
    std::uint64_t& word = holes_[block / word_bits];
    const std::uint64_t bit = std::uint64_t{1} << block % word_bits;
    count_ -= (word & bit) == 0 ? 0 : 1;
    word &= ~bit;
  }
}

void FileHoles::cut(std::uint64_t blocks) {
  if (holes_.size() * word_bits > blocks) written(blocks, holes_.size() * word_bits - blocks);
}

// Only whole blocks are holes.
void FileHoles::find(std::uint64_t blocks) {
  const auto length = static_cast<off_t>(blocks * block_bytes_);
  const auto block = static_cast<off_t>(block_bytes_);
  for (off_t at = 0; at < length;) {
    off_t data = lseek(descriptor_, at, SEEK_DATA);
    if (data < 0 && errno != ENXIO) return;  // the file system does not tell; no hole is known then
    if (data < 0) data = length;
    const off_t first = (at + block - 1) / block;
    const off_t end = std::min(data, length) / block;
    if (end > first) mark(static_cast<std::uint64_t>(first), static_cast<std::uint64_t>(end - first));
    if (data >= length) return;
    at = lseek(descriptor_, data, SEEK_HOLE);
    if (at < 0) return;
  }
}

bool FileHoles::punch_run(std::uint64_t first, std::uint64_t count) {
  const auto offset = static_cast<off_t>(first * block_bytes_);
  const auto size = static_cast<off_t>(count * block_bytes_);
  int code = 0;
  do {
    code = fallocate(descriptor_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, size);
  } while (code != 0 && errno == EINTR);
  if (code == 0) {
    mark(first, count);
    return true;
  }
  if (errno == EOPNOTSUPP || errno == ENOSYS) {
    impossible_ = true;
    spdlog::warn("event=no_holes file={} reason=\"the file system does not give room inside a file back\"",
                 path_.string());
    return false;
  }
  if (errno == ENOSPC) return false;  // a copy-on-write file system needs room for this: tried again later
  file_failed(path_, errno);
}

std::uint64_t FileHoles::punch(const BlockMap& taken, std::uint64_t end, std::uint64_t most) {
  std::uint64_t done = 0;
  for (std::uint64_t word = (end + word_bits - 1) / word_bits; word > 0 && done < most && !impossible_;) {
    --word;
    std::uint64_t open = ~taken.word(word) & ~(word < holes_.size() ? holes_[word] : 0);
    const std::uint64_t left = end - word * word_bits;
    if (left < word_bits) open &= (std::uint64_t{1} << left) - 1;
    while (open != 0 && done < most) {
      const auto top = word_bits - static_cast<unsigned>(std::countl_zero(open));  // the bit above the highest run
      const auto run = static_cast<unsigned>(std::countl_one(open << (word_bits - top)));
      const std::uint64_t size = std::min<std::uint64_t>(run, most - done);
      if (!punch_run(word * word_bits + top - size, size)) return done;
      done += size;
      const std::uint64_t bits =
          size == word_bits ? ~std::uint64_t{0} : ((std::uint64_t{1} << size) - 1) << (top - size);
      open &= ~bits;
    }
  }
  return done;
}

}  // namespace ringfs::nodes

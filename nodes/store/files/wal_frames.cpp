// The format of the WAL, following its chain of sums, and following it around damaged frames.
#include "nodes/store/files/wal_frames.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bit>
#include <boost/endian/conversion.hpp>
#include <cerrno>
#include <cstring>

#include "dht/base/bytes.hpp"
#include "dht/base/descriptor.hpp"
#include "dht/base/hash.hpp"
#include "nodes/store/files/failure.hpp"

namespace ringfs::nodes {

namespace {

constexpr std::uint32_t wal_magic = 0x377f0682;  // lowest bit: the summed words are big-endian
constexpr std::uint32_t wal_version = 3007000;
constexpr std::size_t mark_bytes = 24;
constexpr std::size_t read_bytes = 1 << 20;
constexpr std::uint64_t max_damaged_run = 8;  // frames; behind that many damaged ones the chain is not looked for

using Sum = std::array<std::uint32_t, 2>;

std::uint32_t word_at(std::string_view bytes, std::size_t place) {
  return boost::endian::load_big_u32(reinterpret_cast<const unsigned char*>(bytes.data() + place));
}

void put_word(char* place, std::uint32_t word) {
  boost::endian::store_big_u32(reinterpret_cast<unsigned char*>(place), word);
}

// SQLite's checksum, over pairs of words.
Sum add(std::string_view bytes, Sum sum, bool big_endian) {
  const bool swap = big_endian != (std::endian::native == std::endian::big);
  for (std::size_t place = 0; place + 8 <= bytes.size(); place += 8) {
    std::array<std::uint32_t, 2> words{};
    std::memcpy(words.data(), bytes.data() + place, 8);
    if (swap) words = {boost::endian::endian_reverse(words[0]), boost::endian::endian_reverse(words[1])};
    sum[0] += words[0] + sum[1];
    sum[1] += words[1] + sum[0];
  }
  return sum;
}

// A window on the file that moves forwards.
class FrameReader {
 public:
  FrameReader(int descriptor, std::uint32_t page_bytes)
      : descriptor_(descriptor), frame_bytes_(frame_header_bytes + page_bytes) {}
  // Header and page. Empty: the file ends before the frame does, or there was an error().
  std::string_view frame(std::uint64_t number) {
    const std::uint64_t offset = wal_header_bytes + number * frame_bytes_;
    if (offset < from_ || offset + frame_bytes_ > from_ + bytes_.size()) {
      bytes_.resize(std::max<std::size_t>(read_bytes, frame_bytes_));
      from_ = offset;
      std::size_t done = 0;
      while (done < bytes_.size()) {
        const ssize_t count =
            pread(descriptor_, bytes_.data() + done, bytes_.size() - done, static_cast<off_t>(from_ + done));
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) error_ = errno;
        if (count <= 0) break;
        done += static_cast<std::size_t>(count);
      }
      bytes_.resize(done);
    }
    if (offset + frame_bytes_ > from_ + bytes_.size()) return {};
    return std::string_view(bytes_).substr(offset - from_, frame_bytes_);
  }
  int error() const { return error_; }

 private:
  const int descriptor_;
  const std::size_t frame_bytes_;
  std::string bytes_;
  std::uint64_t from_ = 0;
  int error_ = 0;
};

struct Frame {
  explicit Frame(std::string_view bytes)
      : header(bytes.substr(0, frame_header_bytes)), page(bytes.substr(frame_header_bytes)) {}
  std::uint32_t number() const { return word_at(header, 0); }
  std::uint32_t database_pages() const { return word_at(header, 4); }
  std::uint64_t salts() const { return std::uint64_t{word_at(header, 8)} << 32 | word_at(header, 12); }
  Sum stored() const { return {word_at(header, 16), word_at(header, 20)}; }
  Sum computed(Sum before, bool big_endian) const {
    return add(page, add(header.substr(0, 8), before, big_endian), big_endian);
  }
  std::string_view header;
  std::string_view page;
};

// Follows the chain of frames, also around damage.
class Scan {
 public:
  Scan(const WalHeader& header, std::uint64_t marked, FrameReader& frames)
      : header_(header), marked_(marked), frames_(frames) {}

  // Takes frames as long as their sums match.
  void follow(WalContents& contents) {
    Sum sum = header_.sum;
    for (std::uint64_t number = 0;; ++number) {
      std::string_view bytes = frames_.frame(number);
      if (bytes.empty()) return;
      Frame frame(bytes);
      if (frame.salts() != header_.salts || frame.number() == 0) return;
      sum = frame.computed(sum, header_.big_endian);
      if (sum != frame.stored()) return;
      take(contents, frame, number);
    }
  }

  // Takes frames up to the mark, also those whose sums do not match. False: it cannot be told what follows them.
  bool follow_around_damage(WalContents& contents) {
    Sum sum = header_.sum;    // of the chain as written
    Sum shown = header_.sum;  // of the chain as shown to SQLite
    for (std::uint64_t number = 0;; ++number) {
      std::string_view bytes = frames_.frame(number);
      if (bytes.empty()) return finish(contents);
      const std::string kept(bytes);  // reading the next frame may move the window
      const Frame frame(kept);
      const Sum computed = frame.computed(sum, header_.big_endian);
      const bool holds = frame.salts() == header_.salts && frame.number() != 0 && computed == frame.stored();
      if (!holds && number >= marked_) return finish(contents);
      std::array<char, frame_header_bytes> header{};
      std::memcpy(header.data(), kept.data(), header.size());
      const bool shows = !holds || !contents.shown.empty();
      if (!holds) {
        if (contents.shown.empty()) contents.shown_from = number;
        if (!mend(contents, frame, number, sum, header)) return false;
      } else {
        sum = computed;
      }
      std::string whole(header.data(), header.size());
      whole.append(frame.page);
      const Frame repaired(whole);
      shown = repaired.computed(shown, header_.big_endian);
      if (shows) {
        put_word(header.data() + 16, shown[0]);
        put_word(header.data() + 20, shown[1]);
        contents.shown.push_back(header);
      }
      numbers_.push_back(repaired.number());
      take(contents, repaired, number);
    }
  }

 private:
  // A page that a damaged frame may have held is lost, and older frames of it with it, unless a newer frame has it.
  bool finish(WalContents& contents) const {
    for (const Suspected& suspected : suspected_) {
      bool newer = false;
      for (std::uint64_t frame = suspected.frame + 1; frame < contents.committed && !newer; ++frame)
        newer = numbers_[frame] == suspected.page;
      if (newer) continue;
      contents.lost_pages.push_back(suspected.page);
      for (std::uint64_t frame = 0; frame < suspected.frame; ++frame) {
        if (numbers_[frame] == suspected.page) contents.lost.push_back(frame);
      }
    }
    for (const std::uint64_t frame : contents.lost) {
      if (numbers_[frame] == 1) contents.lost_first_pages.push_back(frame);
    }
    return contents.committed >= marked_;
  }

  void take(WalContents& contents, const Frame& frame, std::uint64_t number) const {
    contents.pages.push_back(checksum(frame.page));
    if (frame.database_pages() == 0) return;
    contents.committed = number + 1;
    contents.database_pages = frame.database_pages();
  }

  // Whether frame number + 1 continues a chain with this sum.
  bool continues(std::uint64_t number, Sum sum) {
    std::string_view bytes = frames_.frame(number + 1);
    if (bytes.empty()) return false;
    const Frame next(bytes);
    return next.salts() == header_.salts && next.computed(sum, header_.big_endian) == next.stored();
  }

  // Whether the chain can be followed again behind `number`. The stored sum of a frame is right if the next frame
  // continues from it, or if no further frame is needed.
  bool goes_on_behind(std::uint64_t number) {
    for (std::uint64_t last = number; last < number + max_damaged_run; ++last) {
      if (last + 1 >= marked_) return true;
      const std::string_view bytes = frames_.frame(last);
      if (bytes.empty()) return false;
      if (continues(last, Frame(bytes).stored())) return true;
    }
    return false;
  }

  // Decides about a frame whose sum does not match: its header is corrected, or its page is lost. `sum`: of the chain
  // before it; afterwards, with it. False: it cannot be told.
  bool mend(WalContents& contents, const Frame& frame, std::uint64_t number, Sum& sum,
            std::array<char, frame_header_bytes>& header) {
    put_word(header.data() + 8, static_cast<std::uint32_t>(header_.salts >> 32));
    put_word(header.data() + 12, static_cast<std::uint32_t>(header_.salts));
    const Sum computed = frame.computed(sum, header_.big_endian);
    if (computed == frame.stored() || continues(number, computed)) {  // only salts or the stored sum have flipped bits
      sum = computed;
      return true;
    }
    if (!goes_on_behind(number)) return false;
    // The frame may have been of another page: one flipped bit of the number may explain the sum, too.
    for (std::size_t bit = 0; bit < 32; ++bit) {
      std::string tried(header.data(), header.size());
      tried[bit / 8] = static_cast<char>(static_cast<unsigned char>(tried[bit / 8]) ^ (1U << bit % 8));
      tried.append(frame.page);
      const Frame other(tried);
      if (other.computed(sum, header_.big_endian) == frame.stored()) suspected_.push_back({number, other.number()});
    }
    // Otherwise the number is right if the salts beside it are undamaged.
    if (frame.salts() != header_.salts || frame.number() == 0) return false;
    contents.lost.push_back(number);
    sum = frame.stored();
    return true;
  }

  struct Suspected {
    std::uint64_t frame = 0;
    std::uint32_t page = 0;
  };
  const WalHeader& header_;
  const std::uint64_t marked_;
  FrameReader& frames_;
  std::vector<std::uint32_t> numbers_;  // page number of each frame, while damage is worked around
  std::vector<Suspected> suspected_;
};

// The header with the one bit flipped back that makes its sum match; none: more is damaged.
std::optional<WalHeader> mended_header(std::string& bytes, std::uint64_t salts) {
  for (std::size_t bit = 0; bit < 8 * wal_header_bytes; ++bit) {
    std::string tried = bytes;
    tried[bit / 8] = static_cast<char>(static_cast<unsigned char>(tried[bit / 8]) ^ (1U << bit % 8));
    std::optional<WalHeader> header = decode_wal_header(tried);
    if (!header || header->salts != salts) continue;
    bytes = std::move(tried);
    return header;
  }
  return std::nullopt;
}

Error ends_early(const std::filesystem::path& wal, std::uint64_t frames, std::uint64_t marked) {
  return {ErrorCode::corrupt, wal.string() + " is damaged: it can be read up to frame " + std::to_string(frames) +
                                  ", but " + std::to_string(marked) + " were synced"};
}

}  // namespace

std::filesystem::path wal_of(const std::filesystem::path& database) { return database.string() + "-wal"; }
std::filesystem::path mark_of(const std::filesystem::path& database) { return database.string() + "-mark"; }

std::optional<WalMark> read_mark(const std::filesystem::path& database) {
  Descriptor file(open(mark_of(database).c_str(), O_RDONLY | O_CLOEXEC));
  if (file.value < 0) return std::nullopt;
  std::string bytes(mark_bytes, '\0');
  if (pread(file.value, bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) return std::nullopt;
  Reader reader(bytes);
  WalMark mark;
  mark.salts = reader.u64();
  mark.frames = reader.u64();
  if (reader.u64() != checksum(std::string_view(bytes).substr(0, mark_bytes - 8))) return std::nullopt;
  return mark;
}

Status write_mark(const std::filesystem::path& database, const WalMark& mark, bool synced) {
  const std::filesystem::path path = mark_of(database);
  Descriptor file(open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  if (file.value < 0) return tl::unexpected<Error>(file_error(path, errno));
  Writer writer;
  writer.u64(mark.salts);
  writer.u64(mark.frames);
  writer.u64(checksum(writer.bytes()));
  const std::string_view bytes = writer.bytes();
  const ssize_t written = pwrite(file.value, bytes.data(), bytes.size(), 0);
  if (written != static_cast<ssize_t>(bytes.size()))
    return tl::unexpected<Error>(file_error(path, written < 0 ? errno : ENOSPC));
  if (synced && fsync(file.value) != 0) return tl::unexpected<Error>(file_error(path, errno));
  return {};
}

std::optional<WalHeader> decode_wal_header(std::string_view bytes) {
  if (bytes.size() < wal_header_bytes) return std::nullopt;
  const std::uint32_t magic = word_at(bytes, 0);
  if ((magic & ~1U) != wal_magic || word_at(bytes, 4) != wal_version) return std::nullopt;
  WalHeader header;
  header.big_endian = (magic & 1U) != 0;
  header.page_bytes = word_at(bytes, 8);
  header.salts = std::uint64_t{word_at(bytes, 16)} << 32 | word_at(bytes, 20);
  header.sum = {word_at(bytes, 24), word_at(bytes, 28)};
  if (header.page_bytes < 512 || header.page_bytes > 65536 || !std::has_single_bit(header.page_bytes))
    return std::nullopt;
  if (add(bytes.substr(0, 24), {0, 0}, header.big_endian) != header.sum) return std::nullopt;
  return header;
}

Result<WalContents> read_wal(const std::filesystem::path& database, WalDamage damage) {
  const std::filesystem::path path = wal_of(database);
  WalMark mark;
  if (damage != WalDamage::ignored) mark = read_mark(database).value_or(WalMark{});
  const bool around_damage = damage == WalDamage::worked_around;
  WalContents contents;
  Descriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.value < 0 && errno != ENOENT) return tl::unexpected<Error>(file_error(path, errno));
  std::string head(wal_header_bytes, '\0');
  if (file.value >= 0) {
    const ssize_t count = pread(file.value, head.data(), head.size(), 0);
    if (count < 0) return tl::unexpected<Error>(file_error(path, errno));
    if (count == static_cast<ssize_t>(head.size())) contents.header = decode_wal_header(head);
  }
  if (!contents.header && around_damage && mark.frames > 0) {
    contents.header = mended_header(head, mark.salts);
    contents.shown_header = head;
  }
  if (!contents.header) {
    if (mark.frames > 0) return tl::unexpected<Error>(ends_early(path, 0, mark.frames));
    return contents;
  }
  const WalHeader header = *contents.header;
  // An older generation than that of the mark: the newer one was lost.
  const auto newer = static_cast<std::int32_t>(static_cast<std::uint32_t>(mark.salts >> 32) -
                                               static_cast<std::uint32_t>(header.salts >> 32));
  if (mark.frames > 0 && newer > 0) return tl::unexpected<Error>(ends_early(path, 0, mark.frames));
  const std::uint64_t marked = mark.salts == header.salts ? mark.frames : 0;
  FrameReader frames(file.value, header.page_bytes);
  Scan scan(header, marked, frames);
  scan.follow(contents);
  if (frames.error() != 0) return tl::unexpected<Error>(file_error(path, frames.error()));
  if (contents.committed >= marked) return contents;
  const Error error = ends_early(path, contents.committed, marked);
  if (!around_damage) return tl::unexpected<Error>(error);
  WalContents around;
  around.header = header;
  around.shown_header = contents.shown_header;
  contents = std::move(around);
  const bool told = scan.follow_around_damage(contents);
  if (frames.error() != 0) return tl::unexpected<Error>(file_error(path, frames.error()));
  if (!told) return tl::unexpected<Error>(error);
  return contents;
}

}  // namespace ringfs::nodes

// SQLite's write-ahead log read without SQLite, and the mark of its durable end beside it.
//
// Why: SQLite's recovery ends without a word at the first frame whose sum does not match, and takes what lies behind
// it, votes and entries that were synced, for never written. So after each sync of the WAL its durable end is written,
// unsynced, into a small file
// (`ringfs.db-mark`): a WAL whose chain ends before its mark is damaged. What ends beyond the mark was torn by a crash,
// as ever. A power failure may leave an older mark: then less is known, never something wrong. The mark goes, synced,
// before a WAL does; a WAL that has started over has another salt than the mark and is not measured by it.
//
// A damaged frame in the middle does not hide those behind it: each frame's header holds the sum of the chain up to it,
// so that the chain can be taken up again. Such a frame's page is lost, unless a later frame has the same page.
// SQLite's sum is weak: a flipped bit of the page and one of the page's number in the frame's header can look alike.
// Then the pages of both numbers count as lost. Threads: plain functions. Errors: of the system, as errno in Result's
// context. Limits: memory of 8 bytes a frame, 32 while damage is worked around. Source: sqlite.org/walformat.html.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "dht/base/error.hpp"

namespace ringfs::nodes {

inline constexpr std::uint64_t wal_header_bytes = 32;
inline constexpr std::uint64_t frame_header_bytes = 24;

// Where a generation of a WAL ends.
struct WalMark {
  std::uint64_t salts =
      0;  // both of the generation's, the first one in the upper half; it grows by one with each generation
  std::uint64_t frames = 0;  // up to the end of the last transaction
  bool operator==(const WalMark&) const = default;
};

std::filesystem::path wal_of(const std::filesystem::path& database);
std::filesystem::path mark_of(const std::filesystem::path& database);
// None: there is no mark, or it is damaged; then nothing is known.
std::optional<WalMark> read_mark(const std::filesystem::path& database);
// `synced`: lasts when it returns. Errors: no_space, io_error.
Status write_mark(const std::filesystem::path& database, const WalMark& mark, bool synced);

struct WalHeader {
  std::uint32_t page_bytes = 0;
  std::uint64_t salts = 0;
  bool big_endian = false;  // the order of the words that are summed
  std::array<std::uint32_t, 2> sum{};
};
// None: it does not hold.
std::optional<WalHeader> decode_wal_header(std::string_view bytes);

struct WalContents {
  std::optional<WalHeader> header;
  std::vector<std::uint64_t> pages;  // of each frame of the chain: XXH3 of its page
  std::uint64_t committed = 0;       // frames up to the end of the last whole transaction
  std::uint32_t database_pages = 0;  // as that transaction says; 0: there is none
  // When damage before the mark was worked around: these frames' pages are lost, and from the first of them on SQLite
  // must be shown headers whose sums fit what it reads.
  std::vector<std::uint64_t> lost;
  std::vector<std::uint64_t> lost_first_pages;  // those of them that are, or may be, the database's first page
  std::vector<std::uint32_t> lost_pages;  // of the database, which a damaged frame may have held and no later one does
  std::string shown_header;               // of the file; empty: as it is
  std::uint64_t shown_from = 0;
  std::vector<std::array<char, frame_header_bytes>> shown;
};

// What to do when a WAL ends before its mark: refuse it; work around the frames that do not hold; not look at the mark
// (test-only).
enum class WalDamage { refused, worked_around, ignored };

// What SQLite's recovery will find. Errors: io_error; corrupt: it ends before the mark, or what follows the damage
// cannot be told.
Result<WalContents> read_wal(const std::filesystem::path& database, WalDamage damage = WalDamage::refused);

}  // namespace ringfs::nodes

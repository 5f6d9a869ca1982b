// Reads SQLite's write-ahead log without SQLite, and keeps the mark of its durable end.
//
// Why a mark: SQLite's recovery stops silently at the first frame whose sum does not match. It takes everything behind
// that, synced votes and entries too, for never written. So after each sync of the WAL its end is written, unsynced,
// into the small file `ringfs.db-mark`. A WAL whose chain of frames ends before its mark is damaged. What ends beyond
// the mark was torn by a crash, which is normal. After a power failure the mark may be older: then less damage is
// found, and none is invented. The mark is removed, durably, before the WAL is. A WAL that has started over has another
// salt than the mark and is not compared with it.
//
// A damaged frame does not hide those behind it. The header of each frame has the sum of the chain up to it, so the
// chain can be followed again from there. The page of the damaged frame is lost, unless a later frame has the same
// page. SQLite's sum is weak: a flipped bit in the page can look the same as one in the page's number in the header.
// Then the pages of both numbers count as lost.
//
// Threads: plain functions. Errors: those of the system calls, with errno's text as context. Limits: 8 bytes of memory
// for each frame, 32 while damage is worked around. Source: sqlite.org/walformat.html.
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

// The durable end of one generation of a WAL. A generation begins when the WAL starts over.
struct WalMark {
  std::uint64_t salts =
      // Both salts of the generation, the first one in the upper half. The first one grows by one with each generation.
      0;
  std::uint64_t frames = 0;  // up to the end of the last transaction
  bool operator==(const WalMark&) const = default;
};

std::filesystem::path wal_of(const std::filesystem::path& database);
std::filesystem::path mark_of(const std::filesystem::path& database);
// None: there is no mark, or it is damaged. Then nothing is known of the durable end.
std::optional<WalMark> read_mark(const std::filesystem::path& database);
// `synced`: durable when it returns. Errors: no_space, io_error.
Status write_mark(const std::filesystem::path& database, const WalMark& mark, bool synced);

struct WalHeader {
  std::uint32_t page_bytes = 0;
  std::uint64_t salts = 0;
  bool big_endian = false;  // byte order of the words that are summed
  std::array<std::uint32_t, 2> sum{};
};
// None: its sum does not match.
std::optional<WalHeader> decode_wal_header(std::string_view bytes);

struct WalContents {
  std::optional<WalHeader> header;
  std::vector<std::uint64_t> pages;  // XXH3 of the page of each frame of the chain
  std::uint64_t committed = 0;       // frames up to the end of the last complete transaction
  std::uint32_t database_pages = 0;  // by that transaction; 0: there is none
  // Only when damage before the mark was worked around: frames whose pages are lost. From the first of them on, SQLite
  // must see headers whose sums match what it reads.
  std::vector<std::uint64_t> lost;
  std::vector<std::uint64_t> lost_first_pages;  // frames of `lost` that are, or may be, the first page of the database
  // pages of the database that a damaged frame may have held and no later frame has
  std::vector<std::uint32_t> lost_pages;
  std::string shown_header;  // of the file; empty: as it is
  std::uint64_t shown_from = 0;
  std::vector<std::array<char, frame_header_bytes>> shown;
};

// What to do when a WAL ends before its mark: refuse it, work around the damaged frames, or ignore the mark (for tests
// only).
enum class WalDamage { refused, worked_around, ignored };

// What SQLite's recovery will find. Errors: io_error; corrupt: the WAL ends before its mark, or it cannot be told what
// follows the damage.
Result<WalContents> read_wal(const std::filesystem::path& database, WalDamage damage = WalDamage::refused);

}  // namespace ringfs::nodes

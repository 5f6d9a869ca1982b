// The bytes of payloads in a file beside the database, each written once. The table `payload` says which payload lies
// where (docs/disk-format.md).
//
// Why not in the database: its WAL and its checkpoints write every byte twice, page by page. It is as safe:
//
// - Bytes are written and synced before the transaction that refers to them commits. So a payload that a durable entry
//   names is there.
// - They are never changed in place. A changed payload moves into the database (PayloadTable::overwrite), which has
//   transactions.
// - Blocks are used again only when the transaction that gave them back is durable; otherwise a power failure could
//   bring back a row whose bytes are gone. And only when no older read transaction is open.
//
// Which blocks are taken is not written anywhere. The ids of the payloads say it, and a start reads them. So what a
// transaction wrote that never became durable is free again.
//
// Threads: read() and Reading on any; everything else on the writer's. Errors: StoreFailure: no_space, io_error;
// corrupt (the file is missing, or ends before a payload does). Limits: max_bytes for a payload; larger ones lie in the
// database.
#pragma once

#include <cstdint>
#include <deque>
#include <filesystem>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "dht/base/descriptor.hpp"
#include "nodes/store/files/block_map.hpp"
#include "nodes/store/files/file_holes.hpp"
#include "nodes/store/files/sqlite_handle.hpp"

namespace ringfs::nodes {

using PayloadId = std::int64_t;

inline constexpr const char* payload_file_name = "ringfs.payloads";

class PayloadFile {
 public:
  // Ids from here on are of payloads in the file, and say where: 2^62 + first block * 2^12 + number of blocks.
  static constexpr PayloadId first_id = PayloadId{1} << 62;
  static constexpr std::uint64_t block_bytes = 4096;
  static constexpr unsigned count_bits = 12;
  static constexpr std::uint64_t max_bytes = ((1U << count_bits) - 1) * block_bytes;

  // Opens or creates the file that belongs to the database of `connection`. Throws corrupt: it is missing, or two
  // payloads overlap.
  PayloadFile(const std::filesystem::path& directory, Connection& connection);
  PayloadFile(const PayloadFile&) = delete;
  PayloadFile& operator=(const PayloadFile&) = delete;

  static bool holds(PayloadId id) { return id >= first_id; }
  std::string read(PayloadId id, std::uint64_t size) const;

  // Within the transaction that is open.
  PayloadId write(std::string_view bytes);
  void give_back(PayloadId id);
  void sync();  // what was written since the last sync; after an error the store must stop
  std::uint64_t unsynced_bytes() const { return unsynced_bytes_; }
  void committed();  // the transaction is visible to new readers
  void rolled_back();
  void durable();  // all commits are on the disk

  // Bytes of free blocks that take room on the disk, without those that were only given back.
  std::uint64_t free_bytes() const;
  // Returns free blocks to the disk until free_bytes() is at most `keep_bytes`: first the end of the file, then holes;
  // at most max_step_bytes in one call. True: there is more to do. Only blocks that may be used again (durable()).
  bool shrink(std::uint64_t keep_bytes);
  static constexpr std::uint64_t max_step_bytes = 32 << 20;
  bool any_given_back() const { return !given_back_.empty(); }  // blocks that must not be used yet

  // Exists while a read transaction is open, and is made before that begins.
  class Reading {
   public:
    explicit Reading(PayloadFile& file);
    ~Reading();
    Reading(const Reading&) = delete;
    Reading& operator=(const Reading&) = delete;

   private:
    PayloadFile& file_;
    std::multiset<std::uint64_t>::iterator since_;
  };

 private:
  struct Extent {
    std::uint64_t first = 0;
    std::uint64_t count = 0;
  };
  struct Freed {
    std::uint64_t commit = 0;
    Extent extent;
  };
  static Extent extent_of(PayloadId id);
  static PayloadId id_of(const Extent& extent);
  void take_what_is_named(Connection& connection);

  const std::filesystem::path path_;
  const Descriptor descriptor_;
  std::uint64_t length_ = 0;  // bytes
  BlockMap blocks_;
  FileHoles holes_;
  std::vector<Extent> written_now_;  // by the open transaction
  std::vector<Extent> given_back_now_;
  std::deque<Freed> given_back_;  // in order of commits; must not be used yet
  std::uint64_t given_back_blocks_ = 0;
  std::uint64_t unsynced_bytes_ = 0;
  std::uint64_t unstarted_bytes_ = 0;  // of these, bytes whose writing was not started yet

  std::mutex mutex_;  // guards what follows
  std::uint64_t commits_ = 0;
  std::multiset<std::uint64_t> readers_;  // the value of commits_ when each reader began
};

}  // namespace ringfs::nodes

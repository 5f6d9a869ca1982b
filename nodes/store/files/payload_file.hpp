// The bytes of payloads in a file beside the database, each written once; the table `payload` says what lies where
// (docs/disk-format.md).
//
// Why not in the database: its WAL and its checkpoints write each byte twice, page by page. Why it is as safe:
//   - bytes are written and synced before the transaction that refers to them is, so a payload that a durable entry
//   names is there;
//   - they are never changed in place: a patched payload moves into the database (PayloadTable::overwrite), which has
//   transactions;
//   - blocks are used again only when the transaction that gave them back is durable, or a power failure could bring a
//   row back
//     whose bytes are gone, and when no read transaction that began before it is open any more.
// Which blocks are taken is not written anywhere: the ids of the payloads say it, and they are looked through at start.
// What a transaction that never became durable wrote is therefore free again.
//
// Threads: read() and Reading from any; everything else from the writer's. Errors: StoreFailure: no_space, io_error;
// corrupt (the file is missing or shorter than a payload needs). Limits: a payload of at most max_bytes; larger ones
// lie in the database.
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
  // Ids from here on lie in the file and say where: 2^62, then the first block's number and how many they are.
  static constexpr PayloadId first_id = PayloadId{1} << 62;
  static constexpr std::uint64_t block_bytes = 4096;
  static constexpr unsigned count_bits = 12;
  static constexpr std::uint64_t max_bytes = ((1U << count_bits) - 1) * block_bytes;

  // Opens or creates the file of the database that `connection` has open. Throws corrupt: it is missing, or two
  // payloads overlap.
  PayloadFile(const std::filesystem::path& directory, Connection& connection);
  PayloadFile(const PayloadFile&) = delete;
  PayloadFile& operator=(const PayloadFile&) = delete;

  static bool holds(PayloadId id) { return id >= first_id; }
  std::string read(PayloadId id, std::uint64_t size) const;

  // Within the transaction that is open.
  PayloadId write(std::string_view bytes);
  void give_back(PayloadId id);
  void sync();  // what was written since the last time; after an error the store must do nothing more
  std::uint64_t unsynced_bytes() const { return unsynced_bytes_; }
  void committed();  // that transaction is visible to new readers
  void rolled_back();
  void durable();  // all that was committed is on the disk

  // Free blocks that have room on the disk already; without those that were only given back.
  std::uint64_t free_bytes() const;
  // Gives free blocks back to the disk until free_bytes() is `keep` at most: the file's end, then holes; a step of at
  // most max_step_bytes. True: there is more to do. Blocks that may be used again only (durable()).
  bool shrink(std::uint64_t keep_bytes);
  static constexpr std::uint64_t max_step_bytes = 32 << 20;
  bool any_given_back() const { return !given_back_.empty(); }  // not to be used yet

  // While a read transaction is open; begins before it does.
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
  std::deque<Freed> given_back_;  // in order of commits; not to be used yet
  std::uint64_t given_back_blocks_ = 0;
  std::uint64_t unsynced_bytes_ = 0;
  std::uint64_t unstarted_bytes_ = 0;  // of these the kernel was not told yet to write them

  std::mutex mutex_;  // of what follows
  std::uint64_t commits_ = 0;
  std::multiset<std::uint64_t> readers_;  // commits there were when each began
};

}  // namespace ringfs::nodes

// A node's durable state, as the driver needs it. Implemented by nodes/store/sqlite_store.
//
// Calls come from the driver's loop and return at once; each `done` is called once, from a thread of the store's own:
// the driver posts it to its loop. Order: writes and applies are carried out in the order they were given; applies may
// be committed without a sync, never later than the next write. Reads, loads and snapshots see every apply whose `done`
// was called. A full disk is no error: writes and applies wait, in order, until there is space, status() says
// Room::none, and reads go on. Errors: corrupt on an apply: nothing of it was carried out, for a row or an entry that
// it needs is damaged, which costs this replica (Node::apply_failed). After any other error of an apply, and any of a
// write, the driver ends the process. Limits: the core bounds what is outstanding.
#pragma once

#include <functional>

#include "dht/core/protocol/effects.hpp"
#include "dht/core/protocol/persisted_state.hpp"

namespace ringfs::dht {

// Data of a partition that cannot be read any more.
struct FoundDamage {
  PartitionId partition{};
  std::optional<LogIndex> entry;  // of its log; none: of its rows
  Error why;
};

struct StorageStatus {
  std::uint64_t database_bytes = 0;  // all files of the node
  std::uint64_t disk_total_bytes = 0;
  std::uint64_t disk_free_bytes = 0;
  std::uint64_t disk_id = 0;
  // Of work that nobody waits for (checkpoints, garbage): the driver ends the process.
  std::optional<Error> failure = std::nullopt;
  std::string note = {};             // a sentence for the operator; empty: nothing
  std::uint64_t verified_bytes = 0;  // of rows, entries and payloads, by the background check of this process
  std::uint64_t verify_passes = 0;   // through everything
  std::uint64_t damage_found = 0;    // places, by that check
  Room room = Room::ample;           // what more the node's groups may take in (dht/core/protocol/room.hpp)
};

class Storage {
 public:
  virtual ~Storage() = default;

  virtual void write(Write write, std::function<void(Status)> done) = 0;
  virtual void apply(Apply apply, std::function<void(Result<std::vector<AppliedBatch>>)> done) = 0;
  virtual void read(ReadEffect read, std::function<void(Result<ReadAnswer>)> done) = 0;
  // At once, on the loop, if the store has all of it in memory; otherwise none, and read() has to be called.
  virtual std::optional<ReadAnswer> read_now(const ReadEffect&) { return std::nullopt; }
  virtual void load(LoadEntries load, std::function<void(Result<std::vector<Entry>>)> done) = 0;
  virtual void snapshot_read(SnapshotRead read, std::function<void(Result<SnapshotData>)> done) = 0;
  // Whether write() could stage these rows of a snapshot, which came from a peer. Cheap: on the loop. Errors: corrupt.
  virtual Status check(const SharedBytes& rows, const std::vector<SharedBytes>& blobs) const = 0;
  // The store reads all that it holds in the background and says what is damaged. Set once, before anything else is
  // asked; `found` is called from a thread of the store's own, for a partition again with every pass while the damage
  // is there.
  virtual void watch_damage(std::function<void(FoundDamage)> found) = 0;
  virtual StorageStatus status() = 0;  // cheap and never blocks; sizes may be a second old
};

}  // namespace ringfs::dht

// Snapshots that this node sends: the rows of a partition, out of one read transaction, in chunks.
//
// A session is (partition, snapshot number). Its chunk 0 opens a connection and a read transaction. The last chunk that
// was given may be asked for again. The transaction ends with the last chunk, when nobody asks for snapshot_idle, or
// when the caller says that it is old (SnapshotRead::renew). The session ends when it is closed.
//
// An open read transaction keeps the WAL from starting over, so the WAL grows by all that is written meanwhile. If a
// transaction ended before its last chunk, the session goes on in a new one behind the last row that it gave. That is
// correct only if nothing was applied to the partition since; otherwise the answer is `unavailable`.
//
// Threads: read() on any; one thread of its own carries out and calls `done`. Errors: not_member, overloaded
// (snapshot_sessions are open), unavailable (no such session, a chunk out of order, changed rows: start over), corrupt,
// io_error. Limits: SqliteStoreOptions; a chunk has at most snapshot_chunk_bytes, or one row that is larger.
#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <thread>

#include "nodes/store/files/payload_file.hpp"
#include "nodes/store/options.hpp"
#include "nodes/store/repair/health.hpp"
#include "nodes/store/rows/rows.hpp"

namespace ringfs::nodes {

class StoreSnapshots {
 public:
  using Done = std::function<void(Result<dht::SnapshotData>)>;

  StoreSnapshots(std::filesystem::path directory, const SqliteStoreOptions& options, PayloadFile& payload_file,
                 StoreHealth& health);
  ~StoreSnapshots();
  void read(dht::SnapshotRead read, Done done);

 private:
  using SteadyTime = std::chrono::steady_clock::time_point;
  class Source;
  // Where a session goes on: behind this row, if the partition is still in this state.
  struct Place {
    RowAddress last;
    SpaceId space = 0;
    dht::LogIndex applied = 0;
  };
  struct Session {
    std::unique_ptr<Source> source;  // none after the last chunk, and while it is parked
    std::optional<Place> parked;     // set while no transaction is open: where to go on
    std::uint32_t next = 0;
    dht::SnapshotData last_given;  // chunk next - 1
    SteadyTime used;
  };
  using SessionKey = std::pair<PartitionId, std::uint64_t>;
  struct Item {
    dht::SnapshotRead effect;
    Done done;
  };

  void run();
  Result<dht::SnapshotData> carry_out(const dht::SnapshotRead& effect);
  Result<Session*> session_of(const SessionKey& key, std::uint32_t number);
  void resume(const SessionKey& key, Session& session);
  static void park(Session& session);
  void close_idle(SteadyTime now);

  const std::filesystem::path directory_;
  const std::size_t chunk_bytes_;
  const std::size_t max_sessions_;
  const Duration idle_;
  PayloadFile& payload_file_;
  StoreHealth& health_;
  std::map<SessionKey, Session> sessions_;  // of the thread

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Item> queue_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace ringfs::nodes

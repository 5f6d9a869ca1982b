// Snapshots going out: the rows of a partition, out of one read transaction, in chunks.
//
// A session is (partition, snapshot number); its chunk 0 opens a connection and a read transaction of its own. The last
// chunk given may be asked for again. The transaction ends with the last chunk, when it is not asked for during
// snapshot_idle, or when the reader says that it is old (SnapshotRead::renew); the session when it is closed. While a
// transaction is open the WAL cannot start over and grows by what is written. A session whose transaction has ended
// before its last chunk goes on in a new one behind the last row given, if nothing was applied to the partition since:
// then its rows are the same. Otherwise: unavailable.
//
// Threads: read() from any; one thread of its own carries out and calls `done`. Errors: not_member, overloaded
// (snapshot_sessions are open), unavailable (no such session, a chunk out of order, rows that changed: start over),
// corrupt, io_error. Limits: SqliteStoreOptions; a chunk holds snapshot_chunk_bytes, or one row that is larger.
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
  // Behind which row, of which state of the partition.
  struct Place {
    RowAddress last;
    SpaceId space = 0;
    dht::LogIndex applied = 0;
  };
  struct Session {
    std::unique_ptr<Source> source;  // empty after the last chunk, and while it is parked
    std::optional<Place> parked;     // where it goes on
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

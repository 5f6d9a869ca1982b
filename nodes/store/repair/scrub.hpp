// The scrub: reads every row, log entry and payload of the store again and again, and reports those that are damaged
// (docs/design.md#damage-and-repair).
//
// Why: a copy that nobody reads can be damaged for years, and is missed when the other copies are lost. Checksums are
// verified whenever something is read; the scrub makes sure that everything is read. It is also what finds a write that
// the disk lost: it adds up the rows and the entries of each group and compares the sums with the group's row in `grp`
// (nodes/store/rows/row_digest.hpp).
//
// It has a thread of low priority and a connection with nearly no cache. A read transaction lasts for one step, so
// neither clients nor checkpoints wait for it. What the kernel's page cache holds is verified there, not on the disk.
//
// Threads: start() and count() on any; `found` is called on the scrub's thread. Errors: none. It reports damage, and
// sectors that cannot be read, at most once a pass for each group and kind. Limits: ScrubOptions; the size of a step.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

#include "dht/net/runtime/storage.hpp"
#include "nodes/store/repair/health.hpp"
#include "nodes/store/repair/scrub_options.hpp"
#include "nodes/store/rows/groups.hpp"
#include "nodes/store/rows/row_watch.hpp"

namespace ringfs::nodes {

class StoreScrub {
 public:
  using Found = std::function<void(dht::FoundDamage)>;

  StoreScrub(std::filesystem::path directory, PayloadFile& payload_file, StoreHealth& health, RowWatch& watch,
             const ScrubOptions& options);
  ~StoreScrub();

  void start(Found found);
  void count(dht::StorageStatus& status) const;

 private:
  struct Tables;
  struct Place;

  void run();
  bool wait(Duration duration);  // false: the store closes
  void pass(std::uint64_t bytes_per_second);
  void group(Tables& tables, PartitionId partition);
  bool rows(Tables& tables, PartitionId partition);
  bool walk(Tables& tables, Place& place, bool (StoreScrub::*step)(Tables&, Place&, std::size_t&));
  bool rows_step(Tables& tables, Place& place, std::size_t& bytes);
  bool log_step(Tables& tables, Place& place, std::size_t& bytes);
  bool log_sum_step(Tables& tables, Place& place, std::size_t& bytes);
  void catch_up(const GroupState& state, Place& place);
  void report(dht::FoundDamage damage);

  const std::filesystem::path directory_;
  PayloadFile& payload_file_;
  StoreHealth& health_;
  RowWatch& watch_;
  const ScrubOptions options_;
  Found found_;
  std::uint64_t rate_ = 0;  // of the current pass, bytes a second
  std::atomic<std::uint64_t> bytes_{0}, passes_{0}, damage_{0};

  std::mutex mutex_;
  std::condition_variable wake_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace ringfs::nodes

// The one thread that changes the database: takes writes and applies in order and makes transactions of them.
//
// Applies at the head of the queue are one transaction without a sync of its own; as soon as a write is at the head,
// all that is queued, writes and applies, is one transaction with synchronous=FULL (group commit): the sync in progress
// gathers the next one. What it wrote into the file of payloads is synced before it commits. Within a transaction the
// order is the queue's, so a crash loses a suffix and never the middle.
// Garbage (rows of former epochs) goes in small steps when the queue is empty, and at least after every 64
// transactions. So does free room inside the two files, beyond what is kept for what comes next: pages at the
// database's end (incremental vacuum, of databases that were made with it) and blocks of the file of payloads. Room
// that was given back without a sync is synced when nothing else was for given_back_timeout.
//
// A transaction in which an item fails is rolled back. no_space: it goes back to the head of the queue and is tried
// again every space_retry, item by item, until it fits; StoreSpace says so meanwhile. Nothing is refused: what is
// queued behind builds on it. Anything else: each item is carried out by itself, so that the error meets the one that
// has it; a failed write, or a failed disk, ends all further work (StoreHealth).
//
// Threads: write(), apply() from any; `done` is called on the writer thread. Errors: as storage.hpp. Limits: items and
// bytes of a transaction; the queue is bounded by the core. Destruction carries out what is queued; what finds no space
// then is answered no_space.
#pragma once

#include <condition_variable>
#include <functional>
#include <thread>
#include <variant>

#include "dht/net/runtime/storage.hpp"
#include "nodes/store/changes.hpp"
#include "nodes/store/checkpoint.hpp"
#include "nodes/store/rows/row_watch.hpp"
#include "nodes/store/space.hpp"

namespace ringfs::nodes {

class StoreWriter {
 public:
  using WriteDone = std::function<void(Status)>;
  using ApplyDone = std::function<void(Result<std::vector<dht::AppliedBatch>>)>;

  StoreWriter(std::unique_ptr<Connection> connection, PayloadFile& payload_file, const Uuid& node,
              const SqliteStoreOptions& options, StoreHealth& health, Checkpointer& checkpointer, StoreSpace& space,
              HotRows& hot_rows, RowWatch& row_watch);
  ~StoreWriter();

  void write(dht::Write write, WriteDone done);
  void apply(dht::Apply apply, ApplyDone done);

 private:
  struct WriteItem {
    dht::Write write;
    WriteDone done;
  };
  struct ApplyItem {
    dht::Apply apply;
    ApplyDone done;
  };
  using Item = std::variant<WriteItem, ApplyItem>;
  using Outcome = std::variant<Status, Result<std::vector<dht::AppliedBatch>>>;
  enum class Sync { full, normal };

  PayloadHome home_of_payloads(const std::vector<Item>& items, std::size_t first, std::size_t count) const;
  static bool must_last(const std::vector<Item>& items, std::size_t first, std::size_t count);
  void push(Item item);
  void run();
  std::vector<Item> take(Sync& sync);  // the next transaction's items; empty: nothing queued
  void carry_out(std::vector<Item> items, Sync sync);
  std::optional<Error> attempt(std::vector<Item>& items, std::size_t first, std::size_t count, Sync sync,
                               std::vector<Outcome>& outcomes);
  std::vector<dht::AppliedBatch> apply_one(const dht::Apply& apply);
  void must_sync(const std::function<void()>& sync);
  void sync_commits();
  void one_by_one(std::vector<Item>& items);
  void wait_for_space(std::vector<Item>& items, std::size_t first, const Error& error);
  void space_found();
  static void refuse(Item& item, const Error& error);
  static void answer(Item& item, Outcome outcome);
  static std::size_t weight(const Item& item);
  bool background_tasks_due() const;
  bool look_again() const;
  void run_background_tasks();
  void collect_garbage();
  void leave_garbage(const Error& why);
  void request_rebuild();
  void give_room_back();
  bool vacuum(std::uint64_t keep_bytes);
  void shorten_wal();
  void look_after_wal();
  void measure_reusable();

  const std::unique_ptr<Connection> connection_;
  PayloadFile& payload_file_;
  const std::size_t max_items_;
  const std::size_t max_bytes_;
  const std::size_t payload_file_bytes_;
  const bool synchronous_off_;
  StoreHealth& health_;
  Checkpointer& checkpointer_;
  StoreSpace& space_;
  HotRows& hot_rows_;
  RowWatch& row_watch_;
  StoreChanges changes_;
  unsigned since_garbage_ = 0;
  bool garbage_paused_ = false;     // the disk was full: not before the next transaction
  bool waiting_for_space_ = false;  // the head of the queue found none
  std::optional<Error> given_up_;   // there was no space, and the store is being closed
  int wal_pages_ = 0;               // as of the last commit
  int checkpoint_requested_at_ = 0;
  int own_checkpoint_at_ = 0;
  std::int64_t page_bytes_ = 0;
  bool can_vacuum_ = false;
  bool unsynced_commits_ = false;
  bool unlooked_ = false;  // commits since the last background tasks
  bool more_to_give_back_ = false;
  bool wal_is_long_ = true;  // as far as is known: since the start, or since it could not be cut

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Item> queue_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace ringfs::nodes

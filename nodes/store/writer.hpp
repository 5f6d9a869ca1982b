// The one thread that changes the database. It takes writes and applies in order and makes transactions of them.
//
// Transactions: applies at the head of the queue are one transaction without a sync. When a write is at the head, all
// that is queued, writes and applies, is one transaction that is synced (group commit): while one sync runs, the next
// transaction gathers. What a transaction writes into the file of payloads is synced before it commits. The order
// within a transaction is the queue's, so a crash loses a suffix, never the middle.
//
// Background tasks: the rows of former spaces (garbage) are removed in small steps when the queue is empty, and after
// every 64 transactions. In the same way free room inside the two files goes back to the disk, except what is kept for
// the next writes: pages at the database's end (incremental vacuum, in databases that were created with it), and blocks
// of the file of payloads. Blocks that were given back by a commit without a sync are synced for that after
// given_back_timeout, if nothing else synced them.
//
// Errors: a transaction in which an item fails is rolled back.
// - no_space: the items go back to the head of the queue and are tried again every space_retry, one by one, until they
//   fit. StoreSpace reports it. Nothing is refused, since what is queued behind builds on it.
// - Anything else: the items are carried out one by one, so that the error goes to the item that has it. A failed
//   write, or a failed disk, ends all further work (StoreHealth).
//
// Threads: write() and apply() on any; `done` is called on the writer's thread. Limits: items and bytes of a
// transaction; the core bounds the queue. The destructor carries out what is queued; what finds no space then is
// answered no_space.
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
  std::vector<Item> take(Sync& sync);  // the items of the next transaction; empty if none are queued
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
  bool garbage_paused_ = false;     // the disk was full: none before the next transaction
  bool waiting_for_space_ = false;  // the head of the queue found no space
  std::optional<Error> given_up_;   // no space was found while the store is being closed
  int wal_pages_ = 0;               // at the last commit
  int checkpoint_requested_at_ = 0;
  int own_checkpoint_at_ = 0;
  std::int64_t page_bytes_ = 0;
  bool can_vacuum_ = false;
  bool unsynced_commits_ = false;
  bool unlooked_ = false;  // there were commits since the last background tasks
  bool more_to_give_back_ = false;
  bool wal_is_long_ = true;  // assumed at the start; true again when it could not be truncated

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Item> queue_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace ringfs::nodes

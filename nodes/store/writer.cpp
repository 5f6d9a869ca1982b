// The writer's thread: queue, transactions, syncs, room and background tasks.
#include "nodes/store/writer.hpp"

#include <pthread.h>
#include <spdlog/spdlog.h>

#include <chrono>

namespace ringfs::nodes {

namespace {

// Thresholds in pages of the WAL. From the first one on the checkpointer works. From the second one on the writer moves
// what that left. From the third one on the writer also waits a moment for readers, because only then can the WAL start
// over.
constexpr int checkpoint_pages = 2048;
constexpr int own_checkpoint_pages = 6144;
constexpr int waiting_checkpoint_pages = 24576;
constexpr int own_checkpoint_interval_pages = 1024;
constexpr int waiting_checkpoint_interval_pages = 8192;
constexpr int reader_wait_ms = 20;
constexpr int writer_timeout_ms = 5000;
constexpr std::uint64_t max_unsynced_bytes = 16 << 20;  // bytes in the file of payloads
constexpr unsigned transactions_between_garbage = 64;
// Free room that is kept in each file for the next writes; nearly none when the disk is short.
constexpr std::uint64_t kept_free_bytes = 32 << 20;
constexpr std::uint64_t kept_free_share = 64;  // a divisor of the disk's size, if that gives less
constexpr std::uint64_t kept_free_bytes_when_short = 1 << 20;
constexpr int vacuum_step_pages = 256;  // moved away from the database's end in one transaction
constexpr auto given_back_timeout = std::chrono::seconds(1);
constexpr int kept_wal_pages_when_short = 1024;
constexpr auto space_retry = std::chrono::milliseconds(200);

}  // namespace

StoreWriter::StoreWriter(std::unique_ptr<Connection> connection, PayloadFile& payload_file, const Uuid& node,
                         const SqliteStoreOptions& options, StoreHealth& health, Checkpointer& checkpointer,
                         StoreSpace& space, HotRows& hot_rows, RowWatch& row_watch)
    : connection_(std::move(connection)),
      payload_file_(payload_file),
      max_items_(options.transaction_items),
      max_bytes_(options.transaction_bytes),
      payload_file_bytes_(options.payload_file_bytes),
      synchronous_off_(options.synchronous_off),
      health_(health),
      checkpointer_(checkpointer),
      space_(space),
      hot_rows_(hot_rows),
      row_watch_(row_watch),
      changes_(*connection_, payload_file, node, options),
      page_bytes_(connection_->integer("PRAGMA page_size")) {
  auto on_commit = [](void* self, sqlite3*, const char*, int pages) {
    auto* writer = static_cast<StoreWriter*>(self);
    writer->wal_pages_ = pages;
    writer->checkpointer_.committed();
    return SQLITE_OK;
  };
  sqlite3_wal_hook(connection_->raw(), on_commit, this);
  // Commits do not sync by themselves: sync_commits() syncs those that must be durable. So nothing has to be switched
  // between transactions.
  connection_->execute(synchronous_off_ ? "PRAGMA synchronous = OFF" : "PRAGMA synchronous = NORMAL");
  constexpr int incremental = 2;
  can_vacuum_ = connection_->integer("PRAGMA auto_vacuum") == incremental;
  measure_reusable();
  more_to_give_back_ = true;
  thread_ = std::thread([this] { run(); });
}

StoreWriter::~StoreWriter() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  thread_.join();
  sqlite3_wal_hook(connection_->raw(), nullptr, nullptr);
}

void StoreWriter::write(dht::Write write, WriteDone done) { push(WriteItem{std::move(write), std::move(done)}); }

void StoreWriter::apply(dht::Apply apply, ApplyDone done) { push(ApplyItem{apply, std::move(done)}); }

void StoreWriter::push(Item item) {
  space_.queued(weight(item));
  {
    std::lock_guard lock(mutex_);
    queue_.push_back(std::move(item));
  }
  wake_.notify_one();
}

std::size_t StoreWriter::weight(const Item& item) {
  const auto* write = std::get_if<WriteItem>(&item);
  if (!write) return 0;  // an apply writes no more than the entries that were written before
  std::size_t bytes = 0;
  for (const dht::GroupWrite& group : write->write.groups) {
    for (const dht::Entry& entry : group.append) bytes += entry.bytes();
    if (!group.stage) continue;
    bytes += group.stage->rows.size();
    for (const SharedBytes& blob : group.stage->blobs) bytes += blob.size();
  }
  return bytes;
}

// Whether the transaction must be synced. Staged snapshot chunks are dropped when a process starts, so they are synced
// only with the write that installs them.
bool StoreWriter::must_last(const std::vector<Item>& items, std::size_t first, std::size_t count) {
  return std::any_of(items.begin() + static_cast<std::ptrdiff_t>(first),
                     items.begin() + static_cast<std::ptrdiff_t>(first + count), [](const Item& item) {
                       const auto* write = std::get_if<WriteItem>(&item);
                       return write != nullptr && !write->write.only_stages();
                     });
}

PayloadHome StoreWriter::home_of_payloads(const std::vector<Item>& items, std::size_t first, std::size_t count) const {
  std::size_t bytes = 0;
  for (std::size_t i = first; i < first + count; ++i) {
    const auto* write = std::get_if<WriteItem>(&items[i]);
    if (!write) continue;
    for (const dht::GroupWrite& group : write->write.groups) {
      for (const dht::Entry& entry : group.append) bytes += entry.bytes() - entry.head.size();
    }
  }
  return bytes < payload_file_bytes_ ? PayloadHome::database : PayloadHome::file;
}

std::vector<StoreWriter::Item> StoreWriter::take(Sync& sync) {
  std::vector<Item> items;
  sync = !queue_.empty() && std::holds_alternative<WriteItem>(queue_.front()) ? Sync::full : Sync::normal;
  std::size_t bytes = 0;
  std::size_t most = waiting_for_space_ ? 1 : max_items_;  // one item may fit where all of them do not
  while (!queue_.empty() && items.size() < most) {
    if (sync == Sync::normal && std::holds_alternative<WriteItem>(queue_.front())) break;
    bytes += weight(queue_.front());
    if (bytes > max_bytes_ && !items.empty()) break;
    items.push_back(std::move(queue_.front()));
    queue_.pop_front();
  }
  return items;
}

void StoreWriter::run() {
  pthread_setname_np(pthread_self(), "store-writer");
  for (;;) {
    std::vector<Item> items;
    Sync sync = Sync::full;
    bool idle = false;
    {
      std::unique_lock lock(mutex_);
      auto wanted = [this] { return !queue_.empty() || stopping_; };
      if (waiting_for_space_) wake_.wait_for(lock, space_retry, [this] { return stopping_; });
      if (!background_tasks_due() && look_again() && !health_.failure())
        wake_.wait_for(lock, given_back_timeout, wanted);
      else if (!background_tasks_due())
        wake_.wait(lock, wanted);
      if (queue_.empty() && stopping_) return;
      idle = queue_.empty();
      items = take(sync);
    }
    if (!items.empty()) {
      garbage_paused_ = false;
      carry_out(std::move(items), sync);
    }
    if (idle || ++since_garbage_ >= transactions_between_garbage) {
      since_garbage_ = 0;
      run_background_tasks();
    }
    look_after_wal();
  }
}

void StoreWriter::answer(Item& item, Outcome outcome) {
  if (auto* write = std::get_if<WriteItem>(&item)) {
    write->done(std::get<Status>(std::move(outcome)));
  } else {
    std::get<ApplyItem>(item).done(std::get<Result<std::vector<dht::AppliedBatch>>>(std::move(outcome)));
  }
}

void StoreWriter::refuse(Item& item, const Error& error) {
  if (std::holds_alternative<WriteItem>(item)) {
    answer(item, Status(tl::unexpected<Error>(error)));
  } else {
    answer(item, Result<std::vector<dht::AppliedBatch>>(tl::unexpected<Error>(error)));
  }
}

// A failed sync is never tried again (docs/design.md#failed-writes): what the disk holds is unknown from then on.
void StoreWriter::must_sync(const std::function<void()>& sync) {
  try {
    sync();
  } catch (const StoreFailure& failure) {
    health_.fail(failure.error());
    throw;
  }
}

void StoreWriter::sync_commits() {
  must_sync([this] { connection_->sync_wal(); });
  unsynced_commits_ = false;
  payload_file_.durable();
}

std::vector<dht::AppliedBatch> StoreWriter::apply_one(const dht::Apply& apply) {
  try {
    return changes_.perform(apply);
  } catch (const StoreFailure& failure) {
    throw StoreFailure(in_partition(apply.partition, failure.error()));
  }
}

std::optional<Error> StoreWriter::attempt(std::vector<Item>& items, std::size_t first, std::size_t count, Sync sync,
                                          std::vector<Outcome>& outcomes) {
  try {
    SqlTransaction transaction(*connection_);
    const PayloadHome home = home_of_payloads(items, first, count);
    for (std::size_t i = first; i < first + count; ++i) {
      if (auto* write = std::get_if<WriteItem>(&items[i])) {
        changes_.perform(write->write, home);
        outcomes.emplace_back(Status());
      } else {
        outcomes.emplace_back(Result<std::vector<dht::AppliedBatch>>(apply_one(std::get<ApplyItem>(items[i]).apply)));
      }
    }
    changes_.save_groups();
    std::map<PartitionId, HotChanges> rows = changes_.take_row_changes();
    const bool lasts = sync == Sync::full && !synchronous_off_ && must_last(items, first, count);
    // Snapshot chunks wait for no sync. But the next client's write must not have to sync many of them.
    const bool many = payload_file_.unsynced_bytes() >= max_unsynced_bytes && !synchronous_off_;
    if (lasts || many) must_sync([this] { payload_file_.sync(); });
    hot_rows_.announce(rows);
    row_watch_.announce(rows);
    transaction.commit();
    row_watch_.committed();
    hot_rows_.publish(std::move(rows));
    changes_.committed();
    unsynced_commits_ = unlooked_ = true;
    if (lasts) sync_commits();
    if (synchronous_off_) payload_file_.durable();
    return std::nullopt;
  } catch (const StoreFailure& failure) {
    outcomes.clear();
    Error error = failure.error();
    hot_rows_.clear();
    row_watch_.rolled_back();
    try {
      connection_->rollback();
      changes_.rolled_back();
    } catch (const StoreFailure& worse) {
      health_.fail(worse.error());
    }
    return error;
  }
}

void StoreWriter::carry_out(std::vector<Item> items, Sync sync) {
  if (given_up_) {
    for (Item& item : items) refuse(item, *given_up_);  // the store is being closed
    return;
  }
  std::optional<Error> error = health_.failure();
  std::vector<Outcome> outcomes;
  if (!error) error = attempt(items, 0, items.size(), sync, outcomes);
  if (!error) {
    std::size_t bytes = 0;
    for (const Item& item : items) bytes += weight(item);
    space_.dequeued(bytes);
    space_.written(bytes);
    space_found();
    for (std::size_t i = 0; i < items.size(); ++i) answer(items[i], std::move(outcomes[i]));
  } else if (health_.failure() || error->code == ErrorCode::io_error) {
    health_.fail(*error);
    for (Item& item : items) refuse(item, *error);
  } else if (error->code == ErrorCode::no_space) {
    wait_for_space(items, 0, *error);
  } else {
    one_by_one(items);
  }
}

void StoreWriter::one_by_one(std::vector<Item>& items) {
  for (std::size_t i = 0; i < items.size(); ++i) {
    bool is_write = std::holds_alternative<WriteItem>(items[i]);
    std::vector<Outcome> outcomes;
    std::optional<Error> error = health_.failure();
    if (!error) {
      error = attempt(items, i, 1, is_write ? Sync::full : Sync::normal, outcomes);
      if (error && error->code == ErrorCode::no_space) {
        wait_for_space(items, i, *error);
        return;
      }
      if (error && (is_write || error->code == ErrorCode::io_error)) health_.fail(*error);
    }
    space_.dequeued(weight(items[i]));
    if (error) {
      refuse(items[i], *error);
    } else {
      answer(items[i], std::move(outcomes[0]));
    }
  }
  space_found();
}

// Puts the items from `first` on back at the head of the queue.
void StoreWriter::wait_for_space(std::vector<Item>& items, std::size_t first, const Error& error) {
  bool stopping = false;
  {
    std::lock_guard lock(mutex_);
    stopping = stopping_;
    for (std::size_t i = items.size(); i-- > first && !stopping;) queue_.push_front(std::move(items[i]));
  }
  if (stopping) {  // nobody waits for space any more, and no item may happen without those before it
    given_up_ = error;
    for (std::size_t i = first; i < items.size(); ++i) refuse(items[i], error);
    return;
  }
  waiting_for_space_ = true;
  space_.set_waiting(true);
  // blocks are used again only when the commit that gave them back is durable
  if (payload_file_.any_given_back() && !synchronous_off_) {
    try {
      sync_commits();
    } catch (const StoreFailure&) {
      return;  // health_ was told
    }
  }
  // A WAL that was moved completely starts over, and needs no more space than it has.
  if (checkpointer_.complete()) return;
  Result<bool> done = checkpointer_.by_writer(*connection_, SQLITE_CHECKPOINT_PASSIVE);
  if (!done) health_.fail(done.error());
}

void StoreWriter::space_found() {
  if (!waiting_for_space_) return;
  waiting_for_space_ = false;
  space_.set_waiting(false);
}

bool StoreWriter::background_tasks_due() const {
  if (health_.failure()) return false;
  return (changes_.garbage() && !garbage_paused_) || more_to_give_back_;
}

// Whether to look again after given_back_timeout although there is nothing to do now: after a commit, and as long as
// room is wanted.
bool StoreWriter::look_again() const {
  return unlooked_ || payload_file_.any_given_back() || space_.status().room != dht::Room::ample;
}

void StoreWriter::run_background_tasks() {
  unlooked_ = false;
  collect_garbage();
  give_room_back();
  measure_reusable();
}

// Blocks that were given back can be used, or returned to the disk, once the commit that gave them back is durable.
void StoreWriter::give_room_back() {
  more_to_give_back_ = false;
  if (health_.failure()) return;
  try {
    if (payload_file_.any_given_back()) {
      if (unsynced_commits_ && !synchronous_off_)
        sync_commits();
      else
        payload_file_.durable();
    }
    const dht::StorageStatus disk = space_.status();
    const bool is_short = disk.room != dht::Room::ample;
    const std::uint64_t keep =
        is_short ? kept_free_bytes_when_short : std::min(kept_free_bytes, disk.disk_total_bytes / kept_free_share);
    const bool more_blocks = payload_file_.shrink(keep);
    const bool more_pages = vacuum(keep);
    if (is_short) shorten_wal();
    more_to_give_back_ = more_blocks || more_pages;
  } catch (const StoreFailure& failure) {
    health_.fail(failure.error());
  }
}

// One step of the vacuum; true: there is more to do. The pages are moved in the WAL; the checkpoint that moves all of
// it truncates the database.
bool StoreWriter::vacuum(std::uint64_t keep_bytes) {
  if (!can_vacuum_ || waiting_for_space_) return false;
  const auto keep = static_cast<std::int64_t>(keep_bytes) / page_bytes_;
  const std::int64_t surplus = connection_->integer("PRAGMA freelist_count") - keep;
  if (surplus <= 0) return false;
  try {
    SqlTransaction transaction(*connection_);
    connection_->execute("PRAGMA incremental_vacuum(" +
                         std::to_string(std::min<std::int64_t>(surplus, vacuum_step_pages)) + ")");
    transaction.commit();
    unsynced_commits_ = true;
    return surplus > vacuum_step_pages;
  } catch (const StoreFailure& failure) {
    connection_->rollback();
    if (failure.error().code != ErrorCode::no_space) throw;
    return false;
  }
}

// Normally the WAL keeps its length for what is written next. A disk that is short gets it back.
void StoreWriter::shorten_wal() {
  if (wal_pages_ < kept_wal_pages_when_short && !wal_is_long_) return;
  sqlite3_busy_timeout(connection_->raw(), reader_wait_ms);
  Result<bool> done = checkpointer_.by_writer(*connection_, SQLITE_CHECKPOINT_TRUNCATE);
  sqlite3_busy_timeout(connection_->raw(), writer_timeout_ms);
  if (!done) health_.fail(done.error());
  wal_is_long_ = done && !*done;
  if (done && *done) wal_pages_ = 0;
}

void StoreWriter::collect_garbage() {
  if (!changes_.garbage() || health_.failure()) return;
  try {
    SqlTransaction transaction(*connection_);
    changes_.collect_garbage();
    transaction.commit();
    changes_.committed();
    unsynced_commits_ = true;
  } catch (const StoreFailure& failure) {
    // After a full disk it is tried again behind the next transaction. Damage in rows that nobody reads costs only
    // their space.
    try {
      connection_->rollback();
      changes_.rolled_back();
    } catch (const StoreFailure& worse) {
      health_.fail(worse.error());
    }
    if (failure.error().code == ErrorCode::corrupt && !health_.failure()) {
      leave_garbage(failure.error());
      return;
    }
    garbage_paused_ = true;
    if (failure.error().code != ErrorCode::no_space) health_.fail(failure.error());
  }
}

void StoreWriter::leave_garbage(const Error& why) {
  try {
    const SpaceId space = changes_.leave_garbage();
    spdlog::warn("event=garbage_damaged space={} reason=\"{}\"", space, why.text());
    request_rebuild();
  } catch (const StoreFailure& failure) {
    health_.fail(failure.error());
  }
}

// The next start copies the database without the garbage.
void StoreWriter::request_rebuild() {
  try {
    SqlTransaction transaction(*connection_);
    changes_.request_rebuild();
    transaction.commit();
    changes_.committed();
  } catch (const StoreFailure& failure) {
    connection_->rollback();
    if (failure.error().code != ErrorCode::no_space) health_.fail(failure.error());
  }
}

void StoreWriter::measure_reusable() {
  try {
    auto pages = static_cast<std::uint64_t>(connection_->integer("PRAGMA freelist_count"));
    space_.set_reusable(pages * static_cast<std::uint64_t>(page_bytes_) + payload_file_.free_bytes());
  } catch (const StoreFailure& failure) {
    if (failure.error().code != ErrorCode::no_space) health_.fail(failure.error());
  }
}

void StoreWriter::look_after_wal() {
  if (health_.failure()) return;
  if (wal_pages_ < checkpoint_requested_at_) checkpoint_requested_at_ = own_checkpoint_at_ = 0;  // the WAL started over
  if (wal_pages_ - checkpoint_requested_at_ >= checkpoint_pages) {
    checkpoint_requested_at_ = wal_pages_;
    checkpointer_.request();
  }
  bool wait = wal_pages_ >= waiting_checkpoint_pages;
  int interval = wait ? waiting_checkpoint_interval_pages : own_checkpoint_interval_pages;
  if (wal_pages_ < own_checkpoint_pages || wal_pages_ - own_checkpoint_at_ < interval) return;
  own_checkpoint_at_ = wal_pages_;
  sqlite3_busy_timeout(connection_->raw(), wait ? reader_wait_ms : writer_timeout_ms);
  Result<bool> done =
      checkpointer_.by_writer(*connection_, wait ? SQLITE_CHECKPOINT_RESTART : SQLITE_CHECKPOINT_PASSIVE);
  sqlite3_busy_timeout(connection_->raw(), writer_timeout_ms);
  if (!done) health_.fail(done.error());
}

}  // namespace ringfs::nodes

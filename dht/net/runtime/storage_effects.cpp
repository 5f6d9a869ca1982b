// Requests to the store, and what its answers change.
#include "dht/net/runtime/storage_effects.hpp"

#include <spdlog/fmt/fmt.h>

#include <utility>

#include "dht/net/transport/system_clock.hpp"

namespace ringfs::dht {

namespace {

// This replica's data cannot be read from this disk: it is damaged, or reading fails. Other replicas have it.
bool is_lost_here(const Error& error) { return error.code == ErrorCode::corrupt || error.code == ErrorCode::io_error; }

}  // namespace

StorageEffects::StorageEffects(Storage& storage, Node& node, EventLog& events, std::shared_ptr<Inbox> inbox, Host& host,
                               Duration interval)
    : storage_(storage), node_(node), events_(events), inbox_(std::move(inbox)), host_(host), interval_(interval) {}

void StorageEffects::start(const std::map<PartitionId, Error>& damaged) {
  stopped_ = false;
  for (const auto& [partition, why] : damaged) note_damage(partition, why);
  storage_.watch_damage([this, inbox = inbox_](FoundDamage found) {
    inbox->put([this, found = std::move(found)] { damage_found(found); });
  });
  poll(boot_time());
}

// ---- Effects ---------------------------------------------------------------------------------------

void StorageEffects::write(Write write) {
  const EffectId id = write.id;
  storage_.write(std::move(write), inbox_->wrap<Status>([this, id](Status done) {
    if (!done) {
      host_.fatal("storage_failed", done.error());
      return;
    }
    look_at_disk();  // at full speed the reserve lasts for less than the interval
    if (stopped_) return;
    host_.durable(id);
    node_.written(id, read_clock());
    host_.schedule_turn();
  }));
}

void StorageEffects::carry_out(Effects& effects) {
  for (const Apply& item : effects.applies) apply(item);
  for (ReadEffect& item : effects.reads) read(std::move(item));
  for (const LoadEntries& item : effects.loads) load(item);
  for (const SnapshotRead& item : effects.snapshot_reads) snapshot_read(item);
}

void StorageEffects::apply(const Apply& apply) {
  using Results = Result<std::vector<AppliedBatch>>;
  const PartitionId partition = apply.partition;
  const LogIndex through = apply.through;
  storage_.apply(apply, inbox_->wrap<Results>([this, partition, through](Results results) {
    if (!results && results.error().code == ErrorCode::corrupt) {
      apply_failed(partition, through, results.error());
      return;
    }
    if (!results) {
      host_.fatal("storage_failed", results.error());
      return;
    }
    node_.applied(partition, through, *results, read_clock());
    host_.schedule_turn();
  }));
}

void StorageEffects::read(ReadEffect read) {
  const EffectId id = read.id;
  const PartitionId partition = read.partition;
  if (std::optional<ReadAnswer> answer = storage_.read_now(read)) {
    node_.read_done(id, std::move(*answer), read_clock());
    host_.schedule_turn();
    return;
  }
  storage_.read(std::move(read), inbox_->wrap<Result<ReadAnswer>>([this, id, partition](Result<ReadAnswer> answer) {
    if (!answer && is_lost_here(answer.error())) {
      note_damage(partition, answer.error());
      answer = fail(ErrorCode::corrupt, answer.error().context);  // what the core takes for damage
    }
    node_.read_done(id, std::move(answer), read_clock());
    host_.schedule_turn();
  }));
}

void StorageEffects::load(const LoadEntries& load) {
  using Entries = Result<std::vector<Entry>>;
  const EffectId id = load.id;
  const PartitionId partition = load.partition;
  storage_.load(load, inbox_->wrap<Entries>([this, id, partition](Entries entries) {
    if (!entries && entries.error().code == ErrorCode::corrupt) note_damage(partition, entries.error());
    node_.loaded(id, std::move(entries), read_clock());
    host_.schedule_turn();
  }));
}

void StorageEffects::snapshot_read(const SnapshotRead& read) {
  const EffectId id = read.id;
  const bool close = read.close;
  const PartitionId partition = read.partition;
  auto done = [this, id, close, partition](Result<SnapshotData> data) {
    if (close) return;
    if (!data && is_lost_here(data.error())) {
      note_damage(partition, data.error());
      data = fail(ErrorCode::corrupt, data.error().context);
    }
    node_.snapshot_read(id, std::move(data), read_clock());
    host_.schedule_turn();
  };
  storage_.snapshot_read(read, inbox_->wrap<Result<SnapshotData>>(std::move(done)));
}

// ---- The disk --------------------------------------------------------------------------------------

void StorageEffects::poll(TimePoint now) {
  next_poll_ = now + interval_;
  look_at_disk();
}

void StorageEffects::look_at_disk() {
  StorageStatus status = storage_.status();
  if (status.failure) {
    host_.fatal("storage_failed", *status.failure);
    return;
  }
  if (status.room == room_) return;
  const bool was_ample = std::exchange(room_, status.room) == Room::ample;
  if (was_ample) {
    events_.trouble("disk_full",
                    fmt::format("free_bytes={} database_bytes={}", status.disk_free_bytes, status.database_bytes));
  } else if (room_ == Room::ample) {
    events_.add({"disk_has_space", fmt::format("free_bytes={}", status.disk_free_bytes)});
  }
  node_.set_room(room_, read_clock());
  host_.schedule_turn();
}

void StorageEffects::fill_in(NodeStatus& status) {
  StorageStatus storage = storage_.status();
  status.database_bytes = storage.database_bytes;
  status.disk_total_bytes = storage.disk_total_bytes;
  status.disk_free_bytes = storage.disk_free_bytes;
  status.disk_id = storage.disk_id;
  status.no_space = storage.room != Room::ample;
  status.storage_note = storage.note;
}

// ---- Damage ----------------------------------------------------------------------------------------

// Which of the two cannot be read, an entry or a row, shows when the entries are asked for.
void StorageEffects::apply_failed(PartitionId partition, LogIndex through, const Error& why) {
  using Entries = Result<std::vector<Entry>>;
  const LogIndex first = node_.applied_index(partition) + 1;
  auto done = [this, partition, through, why](const Entries& entries) {
    note_damage(partition, why);
    node_.apply_failed(partition, through, entries ? Damage::rows : Damage::log, read_clock());
    host_.schedule_turn();
  };
  storage_.load(LoadEntries{0, partition, first, through, SIZE_MAX}, inbox_->wrap<Entries>(std::move(done)));
}

// What was found, once for each replica: readers may meet the same row again and again.
void StorageEffects::note_damage(PartitionId partition, const Error& why) {
  if (!damaged_.insert(partition).second) return;
  events_.trouble("data_damaged", fmt::format("partition={} reason=\"{}\"", index_of(partition), why.text()));
}

void StorageEffects::damage_found(const FoundDamage& found) {
  note_damage(found.partition, found.why);
  if (found.entry)
    node_.entry_damaged(found.partition, *found.entry, read_clock());
  else
    node_.mark_damaged(found.partition, Damage::rows, read_clock());
  host_.schedule_turn();
}

void StorageEffects::happened(const Event& event) {
  if (event.name != "replica_repaired") return;
  if (const std::optional<PartitionId> partition = subject_of(event)) damaged_.erase(*partition);
}

}  // namespace ringfs::dht

// The sessions of snapshots that are sent, on a thread of their own.
#include "nodes/store/snapshot.hpp"

#include <pthread.h>

#include <algorithm>

#include "nodes/store/files/sqlite_schema.hpp"
#include "nodes/store/rows/chunks.hpp"
#include "nodes/store/rows/groups.hpp"

namespace ringfs::nodes {

namespace {

constexpr std::int64_t snapshot_cache_kib = 1 << 10;

}  // namespace

// An open read transaction and the place it has reached.
class StoreSnapshots::Source {
 public:
  Source(const std::filesystem::path& directory, PayloadFile& payload_file, PartitionId partition, const Place* behind)
      : connection_(open_reader(directory, snapshot_cache_kib)),
        reading_(payload_file),
        transaction_(*connection_, "BEGIN"),
        payloads_(*connection_, payload_file) {
    GroupTable groups(*connection_);
    std::optional<GroupState> group = groups.load(partition);
    if (!group || !group->holds_data) {
      throw StoreFailure(ErrorCode::not_member, "no replica of " + name_of(partition));
    }
    group_ = std::move(*group);
    if (behind != nullptr && (group_.space != behind->space || group_.applied.index != behind->applied)) {
      throw StoreFailure(ErrorCode::unavailable, "the rows have changed since the snapshot began: start over");
    }
    if (behind != nullptr) last_ = behind->last;
    scan_.emplace(*connection_, payloads_, group_.space, behind != nullptr ? &behind->last : nullptr);
    more_ = scan_->next();
  }

  dht::SnapshotData chunk(std::size_t max_bytes) {
    ChunkWriter writer;
    while (more_) {
      if (!writer.empty() && writer.bytes() + scan_->value_bytes() > max_bytes) break;
      SpaceRow row = scan_->row();
      writer.add(row.address, row.version, row.value);
      last_ = std::move(row.address);
      more_ = scan_->next();
    }
    dht::SnapshotData data;
    data.last_index = group_.applied.index;
    data.last_term = group_.applied.term;
    data.last_stamp = group_.applied.stamp;
    data.configuration = group_.configuration;
    data.configuration_index = group_.configuration_index;
    data.rows = writer.take_rows();
    data.blobs = writer.take_blobs();
    data.last = !more_;
    return data;
  }

  Place place() const { return {last_, group_.space, group_.applied.index}; }

 private:
  std::unique_ptr<Connection> connection_;
  PayloadFile::Reading reading_;
  SqlTransaction transaction_;
  PayloadTable payloads_;
  GroupState group_;
  RowAddress last_;
  std::optional<SpaceScan> scan_;
  bool more_ = false;
};

StoreSnapshots::StoreSnapshots(std::filesystem::path directory, const SqliteStoreOptions& options,
                               PayloadFile& payload_file, StoreHealth& health)
    : directory_(std::move(directory)),
      chunk_bytes_(options.snapshot_chunk_bytes),
      max_sessions_(options.snapshot_sessions),
      idle_(options.snapshot_idle),
      payload_file_(payload_file),
      health_(health),
      thread_([this] { run(); }) {}

StoreSnapshots::~StoreSnapshots() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

void StoreSnapshots::read(dht::SnapshotRead read, Done done) {
  {
    std::lock_guard lock(mutex_);
    queue_.push_back({read, std::move(done)});
  }
  wake_.notify_one();
}

void StoreSnapshots::run() {
  pthread_setname_np(pthread_self(), "store-snapshot");
  for (;;) {
    std::optional<Item> item;
    {
      std::unique_lock lock(mutex_);
      auto ready = [this] { return !queue_.empty() || stopping_; };
      SteadyTime oldest = SteadyTime::max();
      for (const auto& [key, session] : sessions_) {
        if (!session.parked) oldest = std::min(oldest, session.used);
      }
      if (oldest == SteadyTime::max())
        wake_.wait(lock, ready);
      else
        wake_.wait_until(lock, oldest + idle_, ready);
      if (!queue_.empty()) {
        item = std::move(queue_.front());
        queue_.pop_front();
      } else if (stopping_) {
        break;
      }
    }
    close_idle(std::chrono::steady_clock::now());
    if (!item) continue;
    Result<dht::SnapshotData> data = carry_out(item->effect);
    if (item->effect.close) continue;  // no answer is wanted
    item->done(std::move(data));
  }
  sessions_.clear();
}

void StoreSnapshots::close_idle(SteadyTime now) {
  for (auto& [key, session] : sessions_) {
    if (session.source && now - session.used >= idle_) park(session);
  }
  std::erase_if(sessions_, [&](const auto& entry) { return !entry.second.parked && now - entry.second.used >= idle_; });
}

void StoreSnapshots::park(Session& session) {
  session.parked = session.source->place();
  session.source.reset();
}

void StoreSnapshots::resume(const SessionKey& key, Session& session) {
  session.source = std::make_unique<Source>(directory_, payload_file_, key.first, &*session.parked);
  session.parked.reset();
}

Result<StoreSnapshots::Session*> StoreSnapshots::session_of(const SessionKey& key, std::uint32_t number) {
  auto found = sessions_.find(key);
  if (found != sessions_.end() && (number == found->second.next || number + 1 == found->second.next))
    return &found->second;
  if (number != 0) {
    return fail(ErrorCode::unavailable,
                "chunk " + std::to_string(number) + " of a snapshot that is not open: start over");
  }
  if (found != sessions_.end()) sessions_.erase(found);
  auto open = [](const auto& entry) { return entry.second.source != nullptr; };
  if (std::count_if(sessions_.begin(), sessions_.end(), open) >= static_cast<std::ptrdiff_t>(max_sessions_)) {
    return fail(ErrorCode::overloaded, std::to_string(max_sessions_) + " snapshots are being sent");
  }
  if (sessions_.size() >= 2 * max_sessions_) std::erase_if(sessions_, [&](const auto& entry) { return !open(entry); });
  Session session;
  session.source = std::make_unique<Source>(directory_, payload_file_, key.first, nullptr);
  return &(sessions_[key] = std::move(session));
}

Result<dht::SnapshotData> StoreSnapshots::carry_out(const dht::SnapshotRead& effect) {
  SessionKey key{effect.partition, effect.snapshot};
  if (effect.close) {
    sessions_.erase(key);
    return fail(ErrorCode::cancelled);
  }
  if (std::optional<Error> failure = health_.failure()) return tl::unexpected<Error>(*failure);
  try {
    Result<Session*> found = session_of(key, effect.number);
    if (!found) return tl::unexpected<Error>(found.error());
    Session& session = **found;
    session.used = std::chrono::steady_clock::now();
    if (effect.number < session.next) return session.last_given;
    if (effect.renew && session.source) park(session);
    if (session.parked) resume(key, session);
    if (!session.source)
      return fail(ErrorCode::unavailable, "the snapshot has no chunk " + std::to_string(effect.number));
    session.last_given = session.source->chunk(chunk_bytes_);
    ++session.next;
    if (session.last_given.last) session.source.reset();
    return session.last_given;
  } catch (const StoreFailure& failure) {
    sessions_.erase(key);
    return tl::unexpected<Error>(in_partition(effect.partition, failure.error()));
  }
}

}  // namespace ringfs::nodes

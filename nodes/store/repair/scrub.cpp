// A pass over all groups, step by step: rows, entries, and what they add up to.
#include "nodes/store/repair/scrub.hpp"

#include <pthread.h>
#include <spdlog/spdlog.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>

#include "nodes/store/files/sqlite_schema.hpp"

namespace ringfs::nodes {

namespace {

constexpr std::int64_t scrub_cache_kib = 64;  // nothing may come from a cache
constexpr std::size_t step_rows = 64;         // a step takes some milliseconds; 4 MiB at most if all rows are payloads
constexpr std::size_t step_bytes = 1 << 20;
constexpr unsigned max_walks = 2;  // through a group's rows in one pass, if the sum fails; the next pass tries again
// For setpriority(2). The first pass finds damage from the time when the node was down: it comes after clients, but
// before the least urgent work of the machine.
constexpr int first_priority = 5;
constexpr int later_priority = 19;

// Damage, or a sector that cannot be read: other replicas have the data in both cases.
bool is_damage(const Error& error) { return error.code == ErrorCode::corrupt || error.code == ErrorCode::io_error; }

void set_priority(int priority) {
  if (setpriority(PRIO_PROCESS, static_cast<id_t>(gettid()), priority) != 0)
    spdlog::warn("event=scrub_priority_kept errno={}", errno);
}

}  // namespace

struct StoreScrub::Tables {
  Tables(Connection& database, PayloadFile& file)
      : connection(database),
        payloads(database, file),
        groups(database),
        log(database, payloads),
        rows(database, std::string("SELECT ") + row_columns +
                           " FROM rows WHERE space = ?1 AND (key, sort) > (?2, ?3) ORDER BY key, sort LIMIT ?4"),
        first_rows(database,
                   std::string("SELECT ") + row_columns + " FROM rows WHERE space = ?1 ORDER BY key, sort LIMIT ?2") {}
  Connection& connection;
  PayloadTable payloads;
  GroupTable groups;
  LogTable log;
  Statement rows, first_rows;
};

// Where the scrub is within a group.
struct StoreScrub::Place {
  PartitionId partition{};
  SpaceId space = 0;              // of the rows; a different one means that they were replaced
  std::optional<RowAddress> row;  // the last row that was read
  RowDigest digest = 0;           // of the rows up to `row`, in the state of the last step
  dht::LogIndex applied = 0;      // of that state
  bool adds_up = false;           // `digest` is known
  dht::LogIndex entry = 0;        // the last entry that was read
};

StoreScrub::StoreScrub(std::filesystem::path directory, PayloadFile& payload_file, StoreHealth& health, RowWatch& watch,
                       const ScrubOptions& options)
    : directory_(std::move(directory)),
      payload_file_(payload_file),
      health_(health),
      watch_(watch),
      options_(options) {}

StoreScrub::~StoreScrub() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void StoreScrub::start(Found found) {
  RINGFS_CHECK(!thread_.joinable());
  found_ = std::move(found);
  thread_ = std::thread([this] { run(); });
}

void StoreScrub::count(dht::StorageStatus& status) const {
  status.verified_bytes = bytes_;
  status.verify_passes = passes_;
  status.damage_found = damage_;
}

bool StoreScrub::wait(Duration duration) {
  std::unique_lock lock(mutex_);
  return !wake_.wait_for(lock, duration, [this] { return stopping_; });
}

void StoreScrub::run() {
  pthread_setname_np(pthread_self(), "store-scrub");
  set_priority(first_priority);
  if (!wait(options_.delay)) return;
  for (rate_ = options_.first_bytes_per_second;; rate_ = options_.bytes_per_second) {
    try {
      pass(rate_);
    } catch (const StoreFailure& failure) {
      // Not the damage of one group: whoever needs that page meets it, too.
      spdlog::error("event=scrub_failed reason=\"{}\"", failure.error().text());
    }
    ++passes_;
    set_priority(later_priority);
    if (!wait(options_.pause)) return;
  }
}

void StoreScrub::pass(std::uint64_t bytes_per_second) {
  rate_ = bytes_per_second;
  std::unique_ptr<Connection> connection = open_reader(directory_, scrub_cache_kib);
  Tables tables(*connection, payload_file_);
  std::map<PartitionId, Error> unreadable;
  std::map<PartitionId, GroupState> groups = tables.groups.load_all(unreadable);
  // The writer has the group in memory and writes its row again with the next change. Nothing is lost while this
  // process lives, but whether it will be when it ends is not known.
  for (const auto& [partition, why] : unreadable) report({partition, std::nullopt, why});
  for (const auto& [partition, state] : groups) {
    if (health_.failure() || !wait(Duration::zero())) return;
    if (state.holds_data && damage_of(state.damage) != dht::Damage::log) group(tables, partition);
  }
}

void StoreScrub::group(Tables& tables, PartitionId partition) {
  if (!rows(tables, partition)) return;
  Place place;
  place.partition = partition;
  if (walk(tables, place, &StoreScrub::log_step) && tables.groups.has_digests())
    walk(tables, place, &StoreScrub::log_sum_step);
}

bool StoreScrub::rows(Tables& tables, PartitionId partition) {
  for (unsigned walks = 1;; ++walks) {
    Place place;
    place.partition = partition;
    place.adds_up = tables.groups.has_digests();
    watch_.begin(partition);
    const bool open = walk(tables, place, &StoreScrub::rows_step);
    watch_.end();
    if (!open || place.adds_up || !tables.groups.has_digests()) return open;
    if (walks < max_walks) continue;
    spdlog::info("event=rows_not_added_up partition={} reason=\"too many changes meanwhile\"", index_of(partition));
    return true;
  }
}

// Takes steps to the end. False: the store closes.
bool StoreScrub::walk(Tables& tables, Place& place, bool (StoreScrub::*step)(Tables&, Place&, std::size_t&)) {
  for (bool more = true; more;) {
    std::size_t bytes = 0;
    {
      PayloadFile::Reading reading(payload_file_);
      SqlTransaction transaction(tables.connection, "BEGIN");
      more = (this->*step)(tables, place, bytes);
    }
    bytes_ += bytes;
    if (!wait(Duration(static_cast<std::int64_t>(bytes * 1'000'000 / rate_)))) return false;
  }
  return true;
}

bool StoreScrub::rows_step(Tables& tables, Place& place, std::size_t& bytes) {
  try {
    std::optional<GroupState> state = tables.groups.load(place.partition);
    if (!state || !state->holds_data || damage_of(state->damage) == dht::Damage::log ||
        (place.row && state->space != place.space))
      return false;
    catch_up(*state, place);
    std::size_t count = 0;
    auto visit = [&](Query& query) {
      while (bytes < step_bytes && query.step()) {
        ++count;
        SpaceRow row = verified_row(tables.payloads, place.space, query);
        // Interior pages of an older state can lead anywhere.
        if (place.row && !(*place.row < row.address))
          throw StoreFailure(ErrorCode::corrupt, describe(place.space, row.address) + " is out of order");
        place.digest += row_term(row);
        bytes += row.address.key.size() + row.address.sort.size() + row.value.size();
        place.row = std::move(row.address);
      }
    };
    if (place.row) {
      const RowAddress after = *place.row;  // bound, so it must outlive the query; the place moves on
      Query query(tables.rows, place.space, after.key, after.sort, step_rows);
      visit(query);
    } else {
      Query query(tables.first_rows, place.space, step_rows);
      visit(query);
    }
    if (count == step_rows || bytes >= step_bytes) return true;
    if (place.adds_up && place.digest != state->rows_digest)
      report({place.partition, std::nullopt, lost_rows(place.partition)});
    return false;
  } catch (const StoreFailure& failure) {
    if (!is_damage(failure.error())) throw;
    report({place.partition, std::nullopt, failure.error()});
    return false;
  }
}

// Adds to the digest what changed in rows that were read already.
void StoreScrub::catch_up(const GroupState& state, Place& place) {
  if (place.row && place.adds_up) {
    const std::optional<RowDigest> added = watch_.added(place.applied, state.applied.index, *place.row);
    place.adds_up = added.has_value();
    place.digest += added.value_or(0);
  }
  place.space = state.space;
  place.applied = state.applied.index;
}

// In one transaction, unlike rows: a log is short (LogBudget), and its pages were read just before.
bool StoreScrub::log_sum_step(Tables& tables, Place& place, std::size_t&) {
  try {
    std::optional<GroupState> state = tables.groups.load(place.partition);
    if (!state || !state->holds_data || damage_of(state->damage) == dht::Damage::log) return false;
    const LogTable::Sum entries = tables.log.sum(place.partition);
    if (log_is_whole(*state, entries)) return false;
    // It is not known which entries are old. Applied ones can be compacted; the next pass looks at the rest.
    const bool complete = entries.end.value_or(state->base.index) == state->last_index;
    const bool any_applied = state->applied.index > state->base.index;
    report({place.partition, complete && any_applied ? state->applied.index : state->last_index, lost_entries(*state)});
  } catch (const StoreFailure& failure) {
    if (!is_damage(failure.error())) throw;
    report({place.partition, place.entry + 1, failure.error()});
  }
  return false;
}

bool StoreScrub::log_step(Tables& tables, Place& place, std::size_t& bytes) {
  try {
    std::optional<GroupState> state = tables.groups.load(place.partition);
    if (!state || !state->holds_data || damage_of(state->damage) == dht::Damage::log) return false;
    place.entry = std::max(place.entry, state->base.index);
    std::size_t count = 0;
    tables.log.load(place.partition, place.entry + 1, place.entry + step_rows, [&](StoredEntry&& stored) {
      ++count;
      bytes += stored.entry.bytes();
      place.entry = stored.entry.index;
      return bytes < step_bytes;
    });
    return count == step_rows || bytes >= step_bytes;
  } catch (const StoreFailure& failure) {
    if (!is_damage(failure.error())) throw;
    report({place.partition, place.entry + 1, failure.error()});
    return false;
  }
}

void StoreScrub::report(dht::FoundDamage damage) {
  if (health_.failure()) return;  // everything fails then
  ++damage_;
  damage.why = in_partition(damage.partition, damage.why);
  spdlog::warn("event=damage_found partition={} reason=\"{}\"", index_of(damage.partition), damage.why.text());
  found_(std::move(damage));
}

}  // namespace ringfs::nodes

// The reader threads: one queue, a connection and its prepared statements for each.
#include "nodes/store/readers.hpp"

#include <pthread.h>

#include "dht/core/rows/locks.hpp"
#include "nodes/store/files/sqlite_schema.hpp"

namespace ringfs::nodes {

namespace {

constexpr std::int64_t reader_cache_kib = 4 << 10;

}  // namespace

struct StoreReaders::Tables {
  Tables(Connection& database, PayloadFile& file)
      : connection(database),
        payloads(database, file),
        rows(database, payloads),
        groups(database),
        log(database, payloads) {}
  Connection& connection;
  PayloadTable payloads;
  RowTable rows;
  GroupTable groups;
  LogTable log;
};

StoreReaders::StoreReaders(const std::filesystem::path& directory, unsigned threads, PayloadFile& payload_file,
                           StoreHealth& health, HotRows& hot_rows)
    : payload_file_(payload_file), health_(health), hot_rows_(hot_rows) {
  for (unsigned i = 0; i < threads; ++i) connections_.push_back(open_reader(directory, reader_cache_kib));
  for (unsigned i = 0; i < threads; ++i) threads_.emplace_back([this, i] { run(i, *connections_[i]); });
}

StoreReaders::~StoreReaders() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void StoreReaders::read(dht::ReadEffect read, ReadDone done) { push(Read{std::move(read), std::move(done)}); }

void StoreReaders::load(dht::LoadEntries load, LoadDone done) { push(Load{load, std::move(done)}); }

void StoreReaders::push(Item item) {
  {
    std::lock_guard lock(mutex_);
    queue_.push_back(std::move(item));
  }
  wake_.notify_one();
}

void StoreReaders::run(unsigned number, Connection& connection) {
  pthread_setname_np(pthread_self(), ("store-reader-" + std::to_string(number)).c_str());
  Tables tables(connection, payload_file_);
  for (;;) {
    std::optional<Item> item;
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [this] { return !queue_.empty() || stopping_; });
      if (queue_.empty()) return;
      item = std::move(queue_.front());
      queue_.pop_front();
    }
    carry_out(tables, *item);
  }
}

void StoreReaders::carry_out(Tables& tables, Item& item) {
  auto guarded = [&](auto function, const auto& effect) -> decltype(function(tables, effect)) {
    if (std::optional<Error> failure = health_.failure()) return tl::unexpected<Error>(*failure);
    try {
      PayloadFile::Reading reading(payload_file_);
      SqlTransaction transaction(tables.connection, "BEGIN");
      return function(tables, effect);
    } catch (const StoreFailure& failure) {
      return tl::unexpected<Error>(in_partition(effect.partition, failure.error()));
    }
  };
  if (auto* read = std::get_if<Read>(&item)) {
    read->done(
        guarded([this](Tables& all, const dht::ReadEffect& effect) { return read_rows(all, effect); }, read->effect));
  } else {
    Load& load = std::get<Load>(item);
    load.done(guarded(load_entries, load.effect));
  }
}

Result<dht::ReadAnswer> StoreReaders::read_rows(Tables& tables, const dht::ReadEffect& effect) {
  std::optional<GroupState> group = tables.groups.load(effect.partition);
  if (!group) return fail(ErrorCode::not_member, "no replica of " + name_of(effect.partition));
  tables.rows.select(group->space);
  Result<ReadReply> reply = dht::execute_read(effect.request, tables.rows);
  if (!reply) return tl::unexpected<Error>(reply.error());
  if (effect.request.scans.empty()) {
    const bool lock_free = !dht::Locks(tables.rows).any();
    hot_rows_.add(effect.partition, group->applied.index, effect.request.gets, *reply, lock_free);
  }
  return dht::ReadAnswer(effect.request, *reply);
}

Result<std::vector<dht::Entry>> StoreReaders::load_entries(Tables& tables, const dht::LoadEntries& effect) {
  std::vector<dht::Entry> entries;
  std::size_t bytes = 0;
  tables.log.load(effect.partition, effect.first, effect.last, [&](StoredEntry&& stored) {
    if (stored.entry.index != effect.first + entries.size()) return false;
    bytes += stored.entry.bytes();
    if (!entries.empty() && bytes > effect.max_bytes) return false;
    entries.push_back(std::move(stored.entry));
    return bytes < effect.max_bytes;
  });
  if (entries.empty()) {
    return fail(ErrorCode::not_found,
                "entry " + std::to_string(effect.first) + " is not in the log of " + name_of(effect.partition));
  }
  return entries;
}

}  // namespace ringfs::nodes

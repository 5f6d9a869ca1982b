// A start: finishes a replacement that a crash interrupted, opens or copies the database, loads the groups.
#include "nodes/store/start.hpp"

#include <spdlog/spdlog.h>

#include "nodes/store/files/first_page.hpp"
#include "nodes/store/files/sqlite_schema.hpp"
#include "nodes/store/repair/replacement.hpp"

namespace ringfs::nodes {

namespace {

class StoreStart {
 public:
  StoreStart(const std::filesystem::path& directory, Random& random, const SqliteStoreOptions& options)
      : directory_(directory), random_(random), options_(options) {}

  StartedStore run() {
    finish_replacement(directory_);
    if (options_.rebuild) rebuild("asked for");
    try {
      return open();
    } catch (const ForeignDatabase&) {
      throw;
    } catch (const StoreFailure& failure) {
      if (failure.error().code != ErrorCode::corrupt || rebuilt_) throw;
      try {
        rebuild(failure.error().context);
      } catch (const StoreFailure& worse) {
        if (worse.error().code == ErrorCode::no_space) throw;
        spdlog::error("event=database_not_rebuilt reason=\"{}\"", worse.error().context);
        throw failure;
      }
    }
    return open();
  }

 private:
  void rebuild(const std::string& why) {
    spdlog::error("event=database_rebuilding reason=\"{}\"", why);
    rebuilt_ = true;
    copied(replace_database(directory_, options_.page_bytes, {}));
  }

  // Nothing that anybody needs is damaged, so without room the copy waits for a later start.
  void rebuild_if_room(const std::string& why) {
    try {
      rebuild(why);
    } catch (const StoreFailure& failure) {
      if (failure.error().code != ErrorCode::no_space) throw;
      note_ = why + ": a start with enough room mends it (" + failure.error().context + ")";
      spdlog::warn("event=database_not_rebuilt reason=\"{}\"", failure.error().context);
    }
  }

  void copied(const StoreCopyReport& report) {
    spdlog::info("event=database_copied rows={} entries={} payloads={} damaged_partitions={}", report.rows,
                 report.entries, report.payloads, report.damaged.size());
    for (const auto& [partition, damage] : report.damaged) reasons_[partition] = damage.why;
  }

  // With page sums and digests, unless there is no room for the copy that adds them.
  std::unique_ptr<Connection> open_summed() {
    std::unique_ptr<Connection> connection = open_database(directory_, options_.page_bytes);
    const bool summed = has_page_sums(*connection);
    if (summed && has_digests(*connection)) return connection;
    connection.reset();
    const std::string lacking =
        summed ? "the database's rows have no digests" : "the database's pages have no checksums";
    spdlog::info("event=database_migrating reason=\"{}\"", lacking);
    try {
      copied(replace_database(directory_, options_.page_bytes, {}));
    } catch (const StoreFailure& failure) {
      if (failure.error().code != ErrorCode::no_space) throw;
      note_ = lacking + ": a start with enough room adds them (" + failure.error().context + ")";
      spdlog::warn("event=database_not_migrated reason=\"{}\"", failure.error().context);
    }
    return open_database(directory_, options_.page_bytes);
  }

  // Without room there is no copy of the first page until the next start.
  void keep_copies() {
    try {
      keep_first_page(directory_ / database_file_name);
    } catch (const StoreFailure& failure) {
      if (failure.error().code != ErrorCode::no_space) throw;
      spdlog::warn("event=first_page_not_copied reason=\"{}\"", failure.error().context);
    }
  }

  StartedStore open() {
    StartedStore started;
    started.connection = open_summed();
    if (std::optional<std::string> why =
            rebuilt_ ? std::nullopt : MetaTable(*started.connection).get(rebuild_request)) {
      started.connection.reset();
      rebuild_if_room(*why);
      started.connection = open_summed();
    }
    keep_copies();
    started.payload_file = std::make_unique<PayloadFile>(directory_, *started.connection);
    started.node = load_persisted(*started.connection, *started.payload_file, random_, started.damaged);
    for (auto& [partition, why] : started.damaged) {
      if (auto found = reasons_.find(partition); found != reasons_.end()) why = in_partition(partition, found->second);
    }
    started.note = note_;
    return started;
  }

  const std::filesystem::path& directory_;
  Random& random_;
  const SqliteStoreOptions& options_;
  std::map<PartitionId, Error> reasons_;
  std::string note_;
  bool rebuilt_ = false;
};

}  // namespace

StartedStore start_store(const std::filesystem::path& directory, Random& random, const SqliteStoreOptions& options) {
  return StoreStart(directory, random, options).run();
}

}  // namespace ringfs::nodes

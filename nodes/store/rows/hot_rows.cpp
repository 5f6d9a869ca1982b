// The cache of rows: a map for each partition, dropped as a whole when it is full.
#include "nodes/store/rows/hot_rows.hpp"

#include "dht/core/rows/evaluate.hpp"
#include "dht/core/rows/locks.hpp"

namespace ringfs::nodes {

namespace {

constexpr std::size_t row_overhead_bytes = 192;

std::size_t weight(const RowAddress& address, const std::optional<Row>& row) {
  return row_overhead_bytes + 2 * (address.key.size() + address.sort.size()) + (row ? row->value.size() : 0);
}

}  // namespace

// The rows as execute_read() sees them. complete() is false once a row was asked for that is not known.
class HotRows::View final : public dht::RowReader {
 public:
  explicit View(const Partition& partition) : partition_(partition) {}

  std::optional<Row> get(const RowAddress& row) override {
    auto found = partition_.rows.find(row);
    if (found != partition_.rows.end()) return found->second.row;
    complete_ = false;
    return std::nullopt;
  }
  std::optional<std::uint64_t> version(const RowAddress&) override {
    complete_ = false;
    return std::nullopt;
  }
  void scan(const std::string& key, const std::string&, const std::string&, bool,
            const std::function<bool(Row&&)>&) override {
    if (key != dht::lock_key || !partition_.lock_free) complete_ = false;
  }
  bool complete() const { return complete_; }

 private:
  const Partition& partition_;
  bool complete_ = true;
};

std::optional<dht::ReadAnswer> HotRows::answer(PartitionId partition, const ReadRequest& request) {
  if (!request.scans.empty()) return std::nullopt;
  std::lock_guard guard(mutex_);
  auto found = partitions_.find(partition);
  if (found == partitions_.end() || found->second.announced > 0 || !found->second.lock_free) return std::nullopt;
  View view(found->second);
  for (const RowAddress& row : request.gets) {
    if (!found->second.rows.contains(row)) return std::nullopt;
  }
  Result<ReadReply> reply = dht::execute_read(request, view);
  if (!reply || !view.complete()) return std::nullopt;
  return dht::ReadAnswer(request, *reply);
}

void HotRows::put(Partition& partition, const RowAddress& address, std::optional<Row> row) {
  if (bytes_ > max_hot_bytes) {
    for (auto& [id, other] : partitions_) other.rows.clear();
    bytes_ = 0;
  }
  bytes_ += weight(address, row);
  auto [place, fresh] = partition.rows.try_emplace(address);
  if (!fresh) bytes_ -= weight(address, place->second.row);
  place->second.row = std::move(row);
}

void HotRows::forget(Partition& partition, const HotChange& change) {
  auto place = partition.rows.lower_bound(change.row);
  while (place != partition.rows.end() && place->first.key == change.row.key &&
         (change.prefix ? place->first.sort.starts_with(change.row.sort) : place->first.sort == change.row.sort)) {
    bytes_ -= weight(place->first, place->second.row);
    place = partition.rows.erase(place);
  }
}

void HotRows::forget_all(Partition& partition) {
  for (const auto& [address, known] : partition.rows) bytes_ -= weight(address, known.row);
  partition.rows.clear();
  partition.lock_free = false;
}

void HotRows::announce(const std::map<PartitionId, HotChanges>& changes) {
  std::lock_guard guard(mutex_);
  for (const auto& [id, change] : changes) ++partitions_[id].announced;
}

void HotRows::publish(std::map<PartitionId, HotChanges> changes) {
  std::lock_guard guard(mutex_);
  for (auto& published : changes) {
    HotChanges& change = published.second;
    Partition& partition = partitions_[published.first];
    --partition.announced;
    partition.applied = std::max(partition.applied, change.applied);
    if (change.all) forget_all(partition);
    for (HotChange& one : change.rows) {
      if (one.row.key == dht::lock_key && (one.after || one.unknown)) partition.lock_free = false;
      if (one.prefix || one.unknown) {
        forget(partition, one);
      } else {
        put(partition, one.row, std::move(one.after));
      }
    }
  }
}

void HotRows::clear() {
  std::lock_guard guard(mutex_);
  for (auto& [id, partition] : partitions_) {
    partition.rows.clear();
    partition.lock_free = false;
    partition.announced = 0;
  }
  bytes_ = 0;
}

void HotRows::add(PartitionId id, dht::LogIndex applied, const std::vector<RowAddress>& rows, const ReadReply& reply,
                  bool lock_free) {
  std::lock_guard guard(mutex_);
  Partition& partition = partitions_[id];
  if (applied < partition.applied) return;
  if (lock_free) partition.lock_free = true;
  for (std::size_t i = 0; i < rows.size() && i < reply.gets.size(); ++i) {
    const ReadReply::Get& get = reply.gets[i];
    if (!get.locks.empty() || get.row.value.size() >= payload_threshold) continue;
    put(partition, rows[i], get.found ? std::optional(get.row) : std::nullopt);
  }
}

}  // namespace ringfs::nodes

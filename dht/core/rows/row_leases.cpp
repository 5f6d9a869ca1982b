// Granting row leases, and how long a batch has to wait for them.
#include "dht/core/rows/row_leases.hpp"

#include <algorithm>
#include <set>

#include "dht/base/hash.hpp"

namespace ringfs::dht {

namespace {

void add(const Mutation& mutation, RowChanges& changes, std::set<std::uint64_t>& erased) {
  switch (mutation.kind) {
    case Mutation::Kind::erase: erased.insert(changes.rows.emplace_back(row_hash(mutation.row))); return;
    case Mutation::Kind::put:
    case Mutation::Kind::add_i64:
    case Mutation::Kind::max_i64:
    case Mutation::Kind::write_bytes:
    case Mutation::Kind::truncate: erased.erase(changes.rows.emplace_back(row_hash(mutation.row))); return;
    case Mutation::Kind::erase_prefix: changes.everything = true; return;
    case Mutation::Kind::prepare:
      // From here on readers of these rows may be told of the transaction's end at any time.
      changes.prepares = true;
      for (const RowAddress& lock : mutation.locks) changes.rows.push_back(row_hash(lock));
      for (const Mutation& part : mutation.part) add(part, changes, erased);
      return;
    case Mutation::Kind::resolve: return;  // nobody has had a lease on its rows since they were prepared
  }
  changes.everything = true;  // an unknown kind: the evaluator refuses it
}

}  // namespace

std::uint64_t row_hash(const RowAddress& row) { return checksum(row.sort, checksum(row.key)); }

RowChanges changed_rows(const Batch& batch) {
  RowChanges changes;
  changes.client = batch.client;
  std::set<std::uint64_t> erased;  // by its last mutation
  for (const Mutation& mutation : batch.mutations) add(mutation, changes, erased);
  changes.erased.assign(erased.begin(), erased.end());
  std::sort(changes.rows.begin(), changes.rows.end());
  changes.rows.erase(std::unique(changes.rows.begin(), changes.rows.end()), changes.rows.end());
  return changes;
}

bool RowLeases::contended(const Row& row, const Uuid& client, TimePoint now) const {
  auto lately = [now](TimePoint when) { return when != TimePoint::min() && when + row_contention_pause > now; };
  return lately(row.contended) || (row.writer != client && lately(row.written));
}

bool RowLeases::room(std::size_t rows, TimePoint now) {
  if (rows_.size() + rows > sweep_at_ && now >= next_sweep_) {
    next_sweep_ = now + max_row_lease;
    std::erase_if(rows_, [&](const auto& item) {
      const Row& row = item.second;
      return row.under_way == 0 && !leased(row, now) &&
             (row.written == TimePoint::min() || row.written + row_contention_pause <= now);
    });
    sweep_at_ = std::clamp<std::size_t>(2 * rows_.size(), 1024, max_leased_rows);
  }
  return rows_.size() + rows <= max_leased_rows;
}

bool RowLeases::grant(const Uuid& client, const std::vector<std::uint64_t>& hashes, TimePoint until, TimePoint now) {
  if (everything_under_way_ > 0 || !room(hashes.size(), now)) return false;
  for (std::uint64_t hash : hashes) {
    auto found = rows_.find(hash);
    if (found != rows_.end() && (found->second.under_way > 0 || contended(found->second, client, now))) return false;
  }
  for (std::uint64_t hash : hashes) {
    Row& row = rows_[hash];
    row.holder = !leased(row, now) || row.holder == client ? client : Uuid{};
    row.until = std::max(row.until, until);
  }
  TimePoint& last = clients_[client];
  last = std::max(last, until);
  last_until_ = std::max(last_until_, until);
  return true;
}

void RowLeases::found_absent(std::uint64_t hash, TimePoint now) {
  auto row = rows_.find(hash);
  if (row != rows_.end()) row->second.until = std::min(row->second.until, now + absent_row_lease);
}

TimePoint RowLeases::begin(const RowChanges& changes, TimePoint now) {
  TimePoint free = now;
  if (changes.everything) {
    ++everything_under_way_;
    std::erase_if(clients_, [now](const auto& item) { return item.second <= now; });
    for (const auto& [client, until] : clients_) {
      if (client != changes.client) free = std::max(free, until);
    }
  }
  room(changes.rows.size(), now);  // what is under way is always counted
  for (std::uint64_t hash : changes.rows) {
    Row& row = rows_[hash];
    ++row.under_way;
    if (leased(row, now) && row.holder != changes.client) free = std::max(free, row.until);
    const bool another =
        row.written != TimePoint::min() && row.writer != changes.client && row.written + row_contention_pause > now;
    if (another) row.contended = now;
    row.writer = changes.client;
    row.written = now;
  }
  return free;
}

void RowLeases::end(const RowChanges& changes) {
  if (changes.everything) --everything_under_way_;
  for (std::uint64_t hash : changes.rows) --rows_.at(hash).under_way;
}

std::optional<RowChanges> RowLeases::applied(LogIndex through) {
  std::optional<RowChanges> last;
  while (!in_log_.empty() && in_log_.front().first <= through) {
    end(in_log_.front().second);
    if (in_log_.front().first == through) last = std::move(in_log_.front().second);
    in_log_.pop_front();
  }
  return last;
}

void RowLeases::clear() {
  rows_.clear();
  clients_.clear();
  in_log_.clear();
  everything_under_way_ = 0;
  sweep_at_ = 1024;
  // last_until_ stays: what was granted is granted.
}

}  // namespace ringfs::dht

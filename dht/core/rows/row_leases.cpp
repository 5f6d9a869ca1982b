// Granting row leases, recalling them, and how long a batch has to wait for them.
#include "dht/core/rows/row_leases.hpp"

#include <algorithm>
#include <set>

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

bool RowLeases::holds(const Grant& grant, TimePoint now) const {
  if (grant.until <= now) return false;
  auto client = clients_.find(grant.client);
  return client != clients_.end() && client->second.released < grant.number;
}

bool RowLeases::leased(const Row& row, TimePoint now) const {
  return std::any_of(row.grants.begin(), row.grants.end(), [&](const Grant& grant) { return holds(grant, now); });
}

bool RowLeases::contended(const Row& row, const Uuid& client, TimePoint now) const {
  auto lately = [now](TimePoint when) { return when != TimePoint::min() && when + row_contention_pause > now; };
  return lately(row.contended) || (row.writer != client && lately(row.written));
}

bool RowLeases::room(std::size_t rows, TimePoint now) {
  if (rows_.size() + rows > sweep_at_ && now >= next_sweep_) {
    next_sweep_ = now + brief_row_lease;
    std::erase_if(rows_, [&](const auto& item) {
      const Row& row = item.second;
      const bool idle = row.under_way == 0 && !leased(row, now) &&
                        (row.written == TimePoint::min() || row.written + row_contention_pause <= now);
      if (idle) everything_ended_ = std::max(everything_ended_, row.ended);
      return idle;
    });
    sweep_at_ = std::clamp<std::size_t>(2 * rows_.size(), 1024, max_leased_rows);
    std::erase_if(clients_, [now](const auto& item) { return item.second.until <= now; });
  }
  return rows_.size() + rows <= max_leased_rows;
}

bool RowLeases::may_grant(std::uint64_t hash, const Uuid& client, TimePoint now) const {
  auto found = rows_.find(hash);
  if (found == rows_.end()) return true;
  const Row& row = found->second;
  if (row.under_way > 0 || contended(row, client, now)) return false;
  const auto others = std::count_if(row.grants.begin(), row.grants.end(),
                                    [&](const Grant& grant) { return grant.client != client && holds(grant, now); });
  return static_cast<std::size_t>(others) < max_row_holders;
}

bool RowLeases::grant(const Uuid& client, const std::vector<std::uint64_t>& hashes, TimePoint until, TimePoint now) {
  if (everything_under_way_ > 0 || !room(hashes.size(), now)) return false;
  if (!std::all_of(hashes.begin(), hashes.end(), [&](std::uint64_t hash) { return may_grant(hash, client, now); }))
    return false;
  const std::uint64_t number = ++last_number_;
  for (std::uint64_t hash : hashes) add_grant(hash, client, until, number, now);
  return true;
}

void RowLeases::add_grant(std::uint64_t hash, const Uuid& client, TimePoint until, std::uint64_t number,
                          TimePoint now) {
  std::vector<Grant>& grants = rows_[hash].grants;
  std::erase_if(grants, [&](const Grant& grant) { return grant.client != client && !holds(grant, now); });
  auto own = std::find_if(grants.begin(), grants.end(), [&](const Grant& grant) { return grant.client == client; });
  if (own == grants.end()) own = grants.insert(own, Grant{client, TimePoint::min(), 0});
  own->until = std::max(own->until, until);
  own->number = number;
  Client& holder = clients_[client];
  holder.until = std::max(holder.until, until);
  holder.number = number;
}

std::optional<std::vector<std::uint32_t>> RowLeases::grant_found(const Uuid& client,
                                                                 const std::vector<std::uint64_t>& hashes,
                                                                 std::uint64_t mark, TimePoint until, TimePoint now) {
  if (everything_under_way_ > 0 || everything_ended_ > mark || !room(hashes.size(), now)) return std::nullopt;
  if (everything_ended_ > mark) return std::nullopt;  // room() may have forgotten a change
  const std::uint64_t number = ++last_number_;
  std::vector<std::uint32_t> others;
  for (std::size_t i = 0; i < hashes.size(); ++i) {
    const auto found = rows_.find(hashes[i]);
    const bool same = found == rows_.end() || found->second.ended <= mark;
    if (same && may_grant(hashes[i], client, now))
      add_grant(hashes[i], client, until, number, now);
    else
      others.push_back(static_cast<std::uint32_t>(i));
  }
  if (others.size() == hashes.size()) return std::nullopt;
  return others;
}

void RowLeases::found_absent(std::uint64_t hash, TimePoint now) {
  auto row = rows_.find(hash);
  if (row == rows_.end()) return;
  for (Grant& grant : row->second.grants) grant.until = std::min(grant.until, now + absent_row_lease);
}

void RowLeases::begin(const RowChanges& changes, TimePoint now) {
  if (changes.everything) ++everything_under_way_;
  room(changes.rows.size(), now);  // what is under way is always counted
  for (std::uint64_t hash : changes.rows) {
    Row& row = rows_[hash];
    ++row.under_way;
    const bool another =
        row.written != TimePoint::min() && row.writer != changes.client && row.written + row_contention_pause > now;
    if (another) row.contended = now;
    row.writer = changes.client;
    row.written = now;
  }
}

TimePoint RowLeases::free_at(const RowChanges& changes, TimePoint now) const {
  TimePoint free = now;
  if (changes.everything) {
    for (const auto& [client, state] : clients_) {
      if (client != changes.client && state.released < state.number) free = std::max(free, state.until);
    }
  }
  for (std::uint64_t hash : changes.rows) {
    auto row = rows_.find(hash);
    if (row == rows_.end()) continue;
    for (const Grant& grant : row->second.grants) {
      if (grant.client != changes.client && holds(grant, now)) free = std::max(free, grant.until);
    }
  }
  return free;
}

std::map<Uuid, RowLeases::Wanted> RowLeases::recall(const RowChanges& changes, TimePoint now) {
  std::map<Uuid, Wanted> wanted;
  const std::uint64_t number = ++last_number_;
  if (changes.everything) {
    for (const auto& [client, state] : clients_) {
      const bool holds_any = state.released < state.number && state.until > now;
      if (client != changes.client && holds_any) wanted[client] = {number, true, {}};
    }
    return wanted;
  }
  for (std::uint64_t hash : changes.rows) {
    auto row = rows_.find(hash);
    if (row == rows_.end()) continue;
    for (const Grant& grant : row->second.grants) {
      if (grant.client == changes.client || !holds(grant, now)) continue;
      Wanted& one = wanted[grant.client];
      one.number = number;
      one.rows.push_back(hash);
    }
  }
  return wanted;
}

void RowLeases::released(const Uuid& client, std::uint64_t number, bool everything,
                         const std::vector<std::uint64_t>& rows) {
  auto known = clients_.find(client);
  if (known == clients_.end()) return;
  if (everything) known->second.released = std::max(known->second.released, std::min(number, last_number_));
  for (std::uint64_t hash : rows) {
    auto row = rows_.find(hash);
    if (row == rows_.end()) continue;
    std::erase_if(row->second.grants,
                  [&](const Grant& grant) { return grant.client == client && grant.number < number; });
  }
}

std::vector<RowLeases::Holder> RowLeases::holders(TimePoint now) const {
  std::vector<Holder> holders;
  for (const auto& [client, state] : clients_) {
    if (state.until > now && state.released < state.number) holders.push_back({client, state.until});
  }
  return holders;
}

void RowLeases::end(const RowChanges& changes) {
  const std::uint64_t number = ++last_number_;
  if (changes.everything) {
    --everything_under_way_;
    everything_ended_ = number;
  }
  for (std::uint64_t hash : changes.rows) {
    Row& row = rows_.at(hash);
    --row.under_way;
    row.ended = number;
  }
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
  everything_ended_ = last_number_;
  clients_.clear();
  in_log_.clear();
  everything_under_way_ = 0;
  sweep_at_ = 1024;
}

}  // namespace ringfs::dht

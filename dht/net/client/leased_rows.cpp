// Rows under a lease: remembering them, forgetting them, and computing them from the client's own batches.
#include "dht/net/client/leased_rows.hpp"

#include <algorithm>
#include <map>
#include <set>

#include "dht/core/rows/evaluate.hpp"
#include "dht/core/rows/mutation_plan.hpp"

namespace ringfs::dht {

namespace {

constexpr std::size_t max_own_rows = 8192;       // remembered changes
constexpr std::size_t small_value_bytes = 4096;  // copied: the answer's frame need not stay alive with it

// What was known of a batch's rows before it, as the evaluator sees rows. Notes which ones it asked for in vain.
class KnownRows final : public RowReader {
 public:
  template <class Leased>
  explicit KnownRows(const std::unordered_map<std::uint64_t, Leased>& rows) {
    for (const auto& [hash, leased] : rows) rows_.emplace(leased.address, leased.get);
  }
  std::optional<Row> get(const RowAddress& row) override {
    auto found = rows_.find(row);
    if (found == rows_.end()) {
      unknown_.insert(row);
      return std::nullopt;
    }
    return found->second.found ? std::optional(found->second.row) : std::nullopt;
  }
  std::optional<std::uint64_t> version(const RowAddress& row) override {
    std::optional<Row> known = get(row);
    return known ? std::optional(known->version) : std::nullopt;
  }
  void scan(const std::string&, const std::string&, const std::string&, bool,
            const std::function<bool(Row&&)>&) override {}
  bool guessed(const RowAddress& row) const { return unknown_.contains(row); }

 private:
  std::map<RowAddress, ReadReply::Get> rows_;
  std::set<RowAddress> unknown_;
};

// Records how a batch left the rows whose former values were known.
class AfterRows final : public RowWriter {
 public:
  AfterRows(const KnownRows& known, std::uint64_t version) : known_(known), version_(version) {}
  std::optional<Row> get(const RowAddress&) override { return std::nullopt; }
  std::optional<std::uint64_t> version(const RowAddress&) override { return std::nullopt; }
  void scan(const std::string&, const std::string&, const std::string&, bool,
            const std::function<bool(Row&&)>&) override {}
  void put(const RowAddress& row, const SharedBytes& value, std::uint64_t) override {
    if (known_.guessed(row)) return;
    ReadReply::Get& get = rows[row];
    get.found = true;
    get.row = Row{row.sort, version_, value};
  }
  void erase(const RowAddress& row) override {
    if (!known_.guessed(row)) rows[row] = ReadReply::Get{};
  }
  void erase_prefix(const std::string&, const std::string&) override {}
  void overwrite(const RowAddress&, std::uint32_t, std::string_view, std::uint64_t) override {
  }  // a large row: not kept

  std::map<RowAddress, ReadReply::Get> rows;

 private:
  const KnownRows& known_;
  const std::uint64_t version_;
};

}  // namespace

std::optional<ReadReply> LeasedRows::find(const ReadRequest& request, TimePoint now) {
  end_the_old(now);
  make_room(now);
  if (!request.scans.empty() || request.gets.empty() || rows_.empty()) return std::nullopt;
  ReadReply reply;
  reply.gets.reserve(request.gets.size());
  for (const RowAddress& row : request.gets) {
    const Leased* leased = known(row, now);
    if (leased == nullptr) return std::nullopt;
    reply.gets.push_back(leased->get);
  }
  return reply;
}

bool LeasedRows::knows(const ReadRequest& request, TimePoint now) const {
  return request.scans.empty() && !request.gets.empty() &&
         std::all_of(request.gets.begin(), request.gets.end(),
                     [&](const RowAddress& row) { return known(row, now) != nullptr; });
}

const LeasedRows::Leased* LeasedRows::known(const RowAddress& row, TimePoint now) const {
  auto found = rows_.find(row_hash(row));
  const bool holds = found != rows_.end() && found->second.until > now && found->second.address == row;
  return holds ? &found->second : nullptr;
}

std::optional<TimePoint> LeasedRows::leased_until(const RowAddress& row, std::uint64_t version, TimePoint now) const {
  const Leased* leased = known(row, now);
  const bool same = leased != nullptr && leased->get.found && leased->get.row.version == version;
  return same ? std::optional(leased->until) : std::nullopt;
}

void LeasedRows::forget(std::uint64_t hash) {
  auto found = rows_.find(hash);
  if (found == rows_.end()) return;
  bytes_ -= found->second.bytes();
  rows_.erase(found);
}

void LeasedRows::make_room(TimePoint now) {
  if (bytes_ <= max_leased_row_bytes) return;
  std::erase_if(rows_, [&](const auto& item) {
    const bool ended = item.second.until <= now;
    if (ended) bytes_ -= item.second.bytes();
    return ended;
  });
  if (bytes_ <= max_leased_row_bytes / 2) return;
  rows_.clear();
  bytes_ = 0;
}

bool LeasedRows::changed_since(std::uint64_t hash, std::uint64_t ticket) const {
  auto found = own_.find(hash);
  return found != own_.end() && (found->second.under_way > 0 || found->second.ended > ticket);
}

bool LeasedRows::invalid_since(PartitionId partition, std::uint64_t ticket) const {
  auto found = recalled_.find(partition);
  return everything_.under_way > 0 || everything_.ended > ticket ||
         (found != recalled_.end() && found->second > ticket);
}

void LeasedRows::keep(Leased leased, std::uint64_t hash) {
  forget(hash);
  bytes_ += leased.bytes();
  rows_.emplace(hash, std::move(leased));
}

void LeasedRows::recall(const Recall& recall) {
  ++recalls_;
  const std::uint64_t now = ++last_ticket_;
  if (recall.everything) {
    recalled_[recall.partition] = now;
    std::erase_if(rows_, [&](const auto& item) {
      const bool recalled = item.second.partition == recall.partition;
      if (recalled) bytes_ -= item.second.bytes();
      return recalled;
    });
  }
  for (const std::uint64_t hash : recall.rows) {
    forget(hash);
    own_[hash].ended = now;
  }
  prune_own(now);
}

// ---- Reads -----------------------------------------------------------------------------------------

LeasedRows::Asking::Asking(std::shared_ptr<LeasedRows> rows, PartitionId partition)
    : rows_(std::move(rows)), partition_(partition), ticket_(++rows_->last_ticket_) {}

void LeasedRows::Asking::remember(const ReadRequest& request, const ReadReply& reply, const GrantedLease& lease) {
  if (rows_->invalid_since(partition_, ticket_)) return;
  for (std::size_t i = 0; i < request.gets.size() && i < reply.gets.size(); ++i) {
    // What a transaction holds changes when its record says so, which lies elsewhere.
    const bool held = !reply.gets[i].locks.empty() && !rows_->remember_held_rows_;
    if (!held) keep(request.gets[i], reply.gets[i], lease);
  }
}

void LeasedRows::Asking::remember_found(const ReadRequest& request, const ReadReply& reply, const GrantedLease& lease,
                                        const std::vector<std::uint32_t>& unleased) {
  if (rows_->invalid_since(partition_, ticket_)) return;
  std::uint32_t place = 0;
  auto next = unleased.begin();
  for (std::size_t i = 0; i < request.scans.size() && i < reply.scans.size(); ++i) {
    // Which rows they hold is not known.
    const bool held = (!reply.scans[i].locks.empty() && !rows_->remember_held_rows_) || !request.scans[i].values;
    for (const Row& row : reply.scans[i].rows) {
      while (next != unleased.end() && *next < place) ++next;
      const bool leased = next == unleased.end() || *next != place;
      ++place;
      if (!held && leased) keep({request.scans[i].key, row.sort}, {true, row, {}}, lease);
    }
  }
}

void LeasedRows::Asking::keep(const RowAddress& row, const ReadReply::Get& get, const GrantedLease& lease) {
  const std::uint64_t hash = row_hash(row);
  if (rows_->changed_since(hash, ticket_)) return;
  Leased leased{row, get, lease.until(get.found), partition_};
  leased.get.locks.clear();
  SharedBytes& value = leased.get.row.value;
  if (value.size() <= small_value_bytes) value = SharedBytes(value.str());
  rows_->keep(std::move(leased), hash);
}

// ---- The client's own batches ----------------------------------------------------------------------

LeasedRows::Changing::Changing(std::shared_ptr<LeasedRows> rows, PartitionId partition, const Batch& batch,
                               TimePoint may_happen_until)
    : rows_(std::move(rows)),
      partition_(partition),
      changes_(changed_rows(batch)),
      may_happen_until_(may_happen_until),
      ticket_(++rows_->last_ticket_) {
  for (std::uint64_t hash : changes_.rows) {
    auto known = rows_->rows_.find(hash);
    if (known != rows_->rows_.end()) before_.insert(*known);
  }
  rows_->begin(changes_);
}

void LeasedRows::Changing::remember(const Batch& batch, std::uint64_t version, const GrantedLease& lease,
                                    TimePoint now) {
  if (changes_.everything || rows_->invalid_since(partition_, ticket_)) return;
  // Until now no other client can have changed a row whose former lease has neither ended nor been recalled.
  std::erase_if(before_, [now](const auto& item) { return item.second.until <= now; });
  KnownRows known(before_);
  MutationPlan plan(known);
  for (const Mutation& mutation : batch.mutations) {
    if (mutation.kind == Mutation::Kind::prepare || !plan.add(mutation)) return;
  }
  AfterRows after(known, version);
  plan.carry_out(after, version);
  for (auto& [address, get] : after.rows) {
    const std::uint64_t hash = row_hash(address);
    const auto own = rows_->own_.find(hash);
    const bool alone = own != rows_->own_.end() && own->second.under_way == 1 && own->second.ended <= ticket_;
    if (!alone) continue;  // another batch of this client changes it, too
    const TimePoint until = lease.until(get.found);
    rows_->keep({address, std::move(get), until, partition_}, hash);
  }
}

LeasedRows::Changing::~Changing() {
  if (ended_) {
    rows_->end(changes_);
  } else {
    rows_->unknown_.emplace_back(may_happen_until_, std::move(changes_));
  }
}

void LeasedRows::begin(const RowChanges& changes) {
  if (changes.everything) {
    ++everything_.under_way;
    rows_.clear();
    bytes_ = 0;
  }
  for (std::uint64_t hash : changes.rows) {
    ++own_[hash].under_way;
    forget(hash);
  }
}

void LeasedRows::end(const RowChanges& changes) {
  const std::uint64_t now = ++last_ticket_;
  auto ended = [now](Own& own) {
    --own.under_way;
    own.ended = now;
  };
  if (changes.everything) ended(everything_);
  for (std::uint64_t hash : changes.rows) ended(own_.at(hash));
  prune_own(now);
}

void LeasedRows::prune_own(std::uint64_t now) {
  if (own_.size() <= max_own_rows) return;
  // Answers to reads that were sent before now are not remembered, so the list of changes is not needed any more.
  everything_.ended = now;
  std::erase_if(own_, [](const auto& item) { return item.second.under_way == 0; });
}

void LeasedRows::end_the_old(TimePoint now) {
  for (std::size_t i = 0; i < unknown_.size();) {
    if (unknown_[i].first > now) {
      ++i;
      continue;
    }
    end(unknown_[i].second);
    unknown_[i] = std::move(unknown_.back());
    unknown_.pop_back();
  }
}

}  // namespace ringfs::dht

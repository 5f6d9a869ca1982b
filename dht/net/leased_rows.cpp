#include "dht/net/leased_rows.hpp"

#include <algorithm>

namespace ringfs {

namespace {

constexpr std::size_t max_own_rows = 8192;  // remembered changes; beyond it those that no read can miss go

bool same(const RowAddress& left, const RowAddress& right) { return left.key == right.key && left.sort == right.sort; }

}  // namespace

std::optional<ReadReply> LeasedRows::find(const ReadRequest& request, TimePoint now) {
  end_the_old(now);
  make_room(now);
  if (!request.scans.empty() || request.gets.empty() || rows_.empty()) return std::nullopt;
  ReadReply reply;
  reply.gets.reserve(request.gets.size());
  for (const RowAddress& row : request.gets) {
    auto found = rows_.find(row_hash(row));
    if (found == rows_.end() || found->second.until <= now || !same(found->second.address, row)) return std::nullopt;
    reply.gets.push_back(found->second.get);
  }
  return reply;
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

// ---- Reads -----------------------------------------------------------------------------------------

LeasedRows::Asking::Asking(std::shared_ptr<LeasedRows> rows) : rows_(std::move(rows)), ticket_(++rows_->last_ticket_) {
  rows_->asking_.insert(ticket_);
}

LeasedRows::Asking::~Asking() { rows_->asking_.erase(rows_->asking_.find(ticket_)); }

void LeasedRows::Asking::remember(const ReadRequest& request, const ReadReply& reply, TimePoint until) {
  LeasedRows& rows = *rows_;
  if (rows.everything_.under_way > 0 || rows.everything_.ended > ticket_) return;
  for (std::size_t i = 0; i < request.gets.size() && i < reply.gets.size(); ++i) {
    // What a transaction holds changes when its record says so, which lies elsewhere.
    const std::uint64_t hash = row_hash(request.gets[i]);
    if (reply.gets[i].lock || rows.changed_since(hash, ticket_)) continue;
    rows.forget(hash);
    Leased leased{request.gets[i], reply.gets[i], until};
    rows.bytes_ += leased.bytes();
    rows.rows_.emplace(hash, std::move(leased));
  }
}

// ---- The client's own batches ----------------------------------------------------------------------

LeasedRows::Changing::Changing(std::shared_ptr<LeasedRows> rows, RowChanges changes, TimePoint may_happen_until)
    : rows_(std::move(rows)), changes_(std::move(changes)), may_happen_until_(may_happen_until) {
  rows_->begin(changes_);
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
  if (own_.size() <= max_own_rows) return;
  const std::uint64_t oldest = asking_.empty() ? now : *asking_.begin();
  std::erase_if(own_, [&](const auto& item) { return item.second.under_way == 0 && item.second.ended <= oldest; });
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

}  // namespace ringfs

// The log in memory: appends, truncation, compaction, eviction of bodies.
#include "dht/core/raft/log.hpp"

namespace ringfs::dht {

Log::Log(LogIndex base_index, Term base_term, const std::vector<EntryInfo>& entries)
    : base_index_(base_index), base_term_(base_term) {
  for (const EntryInfo& entry : entries) {
    RINGFS_CHECK(entry.index == last_index() + 1);
    entries_.push_back(entry);
    bytes_ += entry.bytes;
  }
}

std::optional<Term> Log::term(LogIndex index) const {
  if (index < base_index_ || index > last_index()) return std::nullopt;
  return index == base_index_ ? base_term_ : entries_[index - base_index_ - 1].term;
}

std::size_t Log::entry_bytes(LogIndex index) const {
  RINGFS_CHECK(index > base_index_ && index <= last_index());
  return entries_[index - base_index_ - 1].bytes;
}

const Entry* Log::body(LogIndex index) const {
  if (bodies_.empty() || index < bodies_.front().index || index > bodies_.back().index) return nullptr;
  return &bodies_[index - bodies_.front().index];
}

LogIndex Log::last_with_term_up_to(LogIndex index, Term term) const {
  index = std::min(index, last_index());
  while (index > base_index_ && entries_[index - base_index_ - 1].term > term) --index;
  return std::max(index, base_index_);
}

void Log::append(Entry entry) {
  RINGFS_CHECK(entry.index == last_index() + 1);
  std::size_t weight = entry.bytes();
  RINGFS_CHECK(weight <= UINT32_MAX);
  entries_.push_back({entry.index, entry.term, static_cast<std::uint32_t>(weight)});
  bytes_ += weight;
  bodies_.push_back(std::move(entry));
  cached_bytes_ += weight;
}

void Log::truncate_from(LogIndex index) {
  RINGFS_CHECK(index > base_index_);
  while (last_index() >= index) {
    bytes_ -= entries_.back().bytes;
    if (!bodies_.empty()) {
      cached_bytes_ -= entries_.back().bytes;
      bodies_.pop_back();
    }
    entries_.pop_back();
  }
}

void Log::compact_through(LogIndex index) {
  RINGFS_CHECK(index <= last_index());
  while (base_index_ < index) {
    const EntryInfo& first = entries_.front();
    if (!bodies_.empty() && bodies_.front().index == first.index) {
      cached_bytes_ -= first.bytes;
      bodies_.pop_front();
    }
    bytes_ -= first.bytes;
    base_index_ = first.index;
    base_term_ = first.term;
    entries_.pop_front();
  }
}

void Log::reset(LogIndex base_index, Term base_term) {
  *this = Log();
  base_index_ = base_index;
  base_term_ = base_term;
}

void Log::evict(LogIndex through, std::size_t keep_bytes) {
  while (!bodies_.empty() && cached_bytes_ > keep_bytes && bodies_.front().index <= through) {
    cached_bytes_ -= entry_bytes(bodies_.front().index);
    bodies_.pop_front();
  }
}

}  // namespace ringfs::dht

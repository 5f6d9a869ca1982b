// The in-memory view of one group's log: term and weight of every entry, bodies of the newest ones only.
//
// What is on disk follows through GroupWrite; this view runs ahead of it. Bodies that were evicted are read back with
// LoadEntries. Threads: none. Errors: a broken index is a bug of the caller and aborts. Limits: whoever
// uses it compacts and evicts (replica/replicated_log.hpp); 24 bytes an entry beside the cached bodies.
#pragma once

#include <deque>
#include <optional>
#include <vector>

#include "dht/core/protocol/raft_types.hpp"

namespace ringfs::dht {

class Log {
 public:
  Log() = default;
  Log(LogIndex base_index, Term base_term, const std::vector<EntryInfo>& entries);

  LogIndex base_index() const { return base_index_; }  // the entry before the first one
  Term base_term() const { return base_term_; }
  LogIndex first_index() const { return base_index_ + 1; }
  LogIndex last_index() const { return base_index_ + entries_.size(); }
  Term last_term() const { return entries_.empty() ? base_term_ : entries_.back().term; }
  std::size_t size() const { return entries_.size(); }
  std::size_t bytes() const { return bytes_; }
  std::size_t cached_bytes() const { return cached_bytes_; }

  // No value below the base and beyond the last entry.
  std::optional<Term> term(LogIndex index) const;
  std::size_t entry_bytes(LogIndex index) const;
  // Null when the body is on disk only.
  const Entry* body(LogIndex index) const;
  // The largest index <= `index` (not below the base) whose term is <= `term`: where two logs may agree.
  LogIndex last_with_term_up_to(LogIndex index, Term term) const;

  void append(Entry entry);              // index must be last_index() + 1
  void truncate_from(LogIndex index);    // this entry and all after it go
  void compact_through(LogIndex index);  // this entry and all before it go; it becomes the base
  void reset(LogIndex base_index, Term base_term);
  // Drops the oldest cached bodies with index <= through while more than keep_bytes are cached.
  void evict(LogIndex through, std::size_t keep_bytes);

 private:
  LogIndex base_index_ = 0;
  Term base_term_ = 0;
  std::deque<EntryInfo> entries_;
  std::size_t bytes_ = 0;
  std::deque<Entry> bodies_;  // of the newest entries, without a gap
  std::size_t cached_bytes_ = 0;
};

}  // namespace ringfs::dht

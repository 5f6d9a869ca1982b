// Where a node's events go: the process's log, and the journal for those who ask.
//
// Frequent events of busy groups go to neither at the usual level. Threads: the loop's. Limits: the journal's.
#pragma once

#include <functional>
#include <string>

#include "dht/core/protocol/effects.hpp"
#include "dht/net/runtime/event_journal.hpp"

namespace ringfs::dht {

class EventLog {
 public:
  // `life`: Incarnation::counter. `now`: the ring's time.
  EventLog(std::uint64_t life, std::function<Stamp()> now) : journal_(life), now_(std::move(now)) {}

  void add(const Event& event);
  // An event about this node's disk or data, for the operator.
  void trouble(std::string name, std::string detail);
  const EventJournal& journal() const { return journal_; }

 private:
  EventJournal journal_;
  const std::function<Stamp()> now_;
};

// The partition that the event is about, if it is about one.
std::optional<PartitionId> subject_of(const Event& event);

}  // namespace ringfs::dht

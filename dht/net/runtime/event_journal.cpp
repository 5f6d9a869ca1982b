// Keeping the newest events of two kinds.
#include "dht/net/runtime/event_journal.hpp"

#include <algorithm>
#include <iterator>

namespace ringfs::dht {

namespace {

constexpr unsigned life_shift = 40;  // a process has far fewer events, a node far fewer processes

}  // namespace

EventJournal::EventJournal(std::uint64_t life) : last_(life << life_shift) {}

void EventJournal::add(About about, std::string name, std::string detail, Stamp now) {
  name.resize(std::min(name.size(), max_event_text));
  detail.resize(std::min(detail.size(), max_event_text));
  std::deque<NodeEvent>& events = about == About::partition ? of_partitions_ : of_ring_;
  events.push_back({++last_, now, std::move(name), std::move(detail)});
  if (events.size() > max_events) events.pop_front();
}

std::vector<NodeEvent> EventJournal::after(std::uint64_t sequence) const {
  auto newer = [&](const std::deque<NodeEvent>& events) {
    return std::partition_point(events.begin(), events.end(),
                                [&](const NodeEvent& event) { return event.sequence <= sequence; });
  };
  std::vector<NodeEvent> result;
  std::merge(newer(of_partitions_), of_partitions_.end(), newer(of_ring_), of_ring_.end(), std::back_inserter(result),
             [](const NodeEvent& left, const NodeEvent& right) { return left.sequence < right.sequence; });
  return result;
}

}  // namespace ringfs::dht

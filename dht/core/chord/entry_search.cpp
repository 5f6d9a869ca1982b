// Looking for a remembered node that answers as a ring member.
#include "dht/core/chord/entry_search.hpp"

#include <algorithm>

namespace ringfs::dht {

namespace {

constexpr std::size_t most_probes = 8;  // remembered nodes that are asked at the same time

}  // namespace

bool EntrySearch::start() {
  until_ = context_.now + context_.options.timing.stabilize;
  candidates_ = context_.peers.others(context_.random);
  std::reverse(candidates_.begin(), candidates_.end());
  ask_more();
  return probes_.empty();
}

void EntrySearch::ask_more() {
  while (probes_.size() < most_probes && !candidates_.empty()) ask_next();
}

void EntrySearch::ask_next() {
  const Uuid node = candidates_.back();
  candidates_.pop_back();
  const std::uint64_t request = context_.next_request++;
  probes_[request] = {node, context_.now, context_.now + context_.timeout()};
  const Position any = context_.pointers.empty() ? Position{} : context_.pointers.begin()->first;
  context_.send(node, ChordFind{request, any});
}

bool EntrySearch::awaits(const Uuid& source, const ChordFound& found) const {
  const auto probe = probes_.find(found.request);
  return probe != probes_.end() && probe->second.node == source;
}

bool EntrySearch::answered(const ChordFound& found) {
  const auto probe = probes_.find(found.request);
  const Uuid node = probe->second.node;
  probes_.erase(probe);
  if (found.member) {
    context_.entries.push_back(node);
    return true;
  }
  if (!candidates_.empty()) ask_next();
  return probes_.empty();
}

bool EntrySearch::tick() {
  std::vector<Probe> silent;
  std::erase_if(probes_, [&](const auto& entry) {
    if (entry.second.deadline > context_.now) return false;
    silent.push_back(entry.second);
    return true;
  });
  for (const Probe& probe : silent) context_.note_silence(probe.node, probe.sent);
  if (context_.now >= until_) return true;
  ask_more();
  return probes_.empty();
}

void EntrySearch::stop() {
  probes_.clear();
  candidates_.clear();
}

TimePoint EntrySearch::deadline() const {
  TimePoint next = until_;
  for (const auto& [request, probe] : probes_) next = std::min(next, probe.deadline);
  return next;
}

}  // namespace ringfs::dht

// How a starting node looks for a way into the ring: it asks remembered nodes until one answers as a ring member.
//
// None does within one stabilization interval: the whole ring restarts, or has just been created. Threads: none.
// Limits: most_probes nodes are asked at the same time.
#pragma once

#include <map>
#include <vector>

#include "dht/core/chord/context.hpp"

namespace ringfs::dht {

class EntrySearch {
 public:
  explicit EntrySearch(ChordContext& context) : context_(context) {}

  // Each returns whether the search is over. Who was found is in ChordContext::entries.
  bool start();
  bool answered(const ChordFound& found);
  bool tick();

  bool awaits(const Uuid& source, const ChordFound& found) const;
  void stop();
  TimePoint until() const { return until_; }
  TimePoint deadline() const;

 private:
  struct Probe {
    Uuid node;
    TimePoint sent;
    TimePoint deadline;
  };
  void ask_next();
  void ask_more();

  ChordContext& context_;
  std::map<std::uint64_t, Probe> probes_;  // by request
  std::vector<Uuid> candidates_;           // still to be asked, the next one last
  TimePoint until_{};
};

}  // namespace ringfs::dht

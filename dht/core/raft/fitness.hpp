// Whether this node should lead groups, and what its peers say of themselves: slow is not dead
// (docs/design.md#fitness).
//
// Raft's liveness rests on heartbeats, which need the loop alone. A node whose disk hangs, or whose disk or loop is
// much slower than the others', would therefore lead for ever and take its groups with it. So it measures itself:
//   hangs    the store has work, and nothing of its kind (writes; reads) came back for disk_timeout
//   slow     a durable write takes slow_factor times what it takes the peers, and slow_floor at least, for slow_timeout
//   late     the loop's turns come late for a quarter of the time: too little processor time
// and says so in every heartbeat and in every answer to one. What a leader and a voter make of it is in transfer.hpp
// and election.cpp. An idle disk is not known to answer: whoever wants to know asks, and the peer then writes a little
// (Heartbeat::asks).
//
// Threads: none. Errors: none. Limits: one report a peer; as many writes and reads as the core has under way.
#pragma once

#include <deque>
#include <map>
#include <optional>

#include "dht/base/time.hpp"
#include "dht/base/uuid.hpp"
#include "dht/core/protocol/effects.hpp"

namespace ringfs::dht {

// Without an answer for so long while there is work, the disk hangs.
inline constexpr Duration disk_timeout = std::chrono::seconds(1);
// What a peer said counts for so long. Rounds come every 240 ms at least.
inline constexpr Duration fitness_life = std::chrono::seconds(1);

// A durable write that is faster than this is not slow, whatever the others have.
inline constexpr Duration slow_floor = std::chrono::milliseconds(20);
inline constexpr int slow_factor = 5;
// It takes so long to become slow, and to be taken for well again.
inline constexpr Duration slow_timeout = std::chrono::seconds(30);
// A measured write time counts for so long.
inline constexpr Duration write_time_life = std::chrono::seconds(10);
// Write times that lie so far apart count half each.
inline constexpr Duration sparse_samples = std::chrono::seconds(4);

// So much lateness of one turn does not count: it is ordinary on a busy machine.
inline constexpr Duration lateness_allowed = std::chrono::milliseconds(100);
// No more of one turn counts: one long freeze is no habit.
inline constexpr Duration lateness_counted = std::chrono::seconds(1);
// A loop is late when its lateness exceeds a quarter of the time by the limit; so much is remembered at most.
inline constexpr int lateness_share = 4;
inline constexpr Duration lateness_limit = std::chrono::seconds(3);
inline constexpr Duration lateness_most = std::chrono::seconds(10);

class Fitness {
 public:
  // The store got work, or answered it. `synced`: the write is durable when it is answered, as all are but those that
  // only stage snapshot chunks.
  void write_given(EffectId write, bool synced, TimePoint now);
  void written(EffectId through, TimePoint now);
  void reads_given(std::size_t reads, TimePoint now);
  void read_answered(TimePoint now);
  // The loop came for a tick that was due. For the time in which it did not run (a process that was stopped, a machine
  // that was suspended) no disk is to blame.
  void ticked(TimePoint due, TimePoint now);
  void heard(const Uuid& peer, const FitnessReport& report, TimePoint now) { peers_[peer] = {report, now}; }
  // Once a second: compares with the peers.
  void judge(TimePoint now);

  Duration stalled(TimePoint now) const;  // how long the store has work and has not answered; zero: it has none
  bool writing() const { return !given_.empty(); }
  bool hangs(TimePoint now) const { return stalled(now) >= disk_timeout; }
  bool disk_slow() const { return slow_; }
  bool late() const { return late_; }
  bool fit(TimePoint now) const { return !hangs(now) && !slow_ && !late_; }
  // Whether something was durably written within disk_timeout. If not, the disk hangs, or nothing was asked of it.
  bool answers(TimePoint now) const { return synced_at_ != TimePoint::min() && synced_at_ + disk_timeout > now; }
  Duration write_time(TimePoint now) const;  // of late; zero: not known
  Duration idle_for(TimePoint now) const;    // since the last durable write; zero: one is under way
  FitnessReport report(TimePoint now) const;

  // By what the peer said within fitness_life: its disk wrote something durably within disk_timeout, and since the own
  // disk hangs, if it does: of nodes that share a disk none is better.
  bool answers(const Uuid& peer, TimePoint now) const;
  bool fit(const Uuid& peer, TimePoint now) const;    // it does, and is not slow
  bool unfit(const Uuid& peer, TimePoint now) const;  // it said so

 private:
  struct Channel {
    std::size_t outstanding = 0;
    TimePoint since{};  // of the last answer, or when the first of the outstanding was given
    void given(std::size_t number, TimePoint now);
    void answered(TimePoint now);
    void pause(Duration length, TimePoint now) { since = std::min(since + length, now); }
    Duration stalled(TimePoint now) const { return outstanding == 0 ? Duration::zero() : now - since; }
  };
  struct Given {
    EffectId write = 0;
    bool synced = false;
    TimePoint at{};
  };
  struct Heard {
    FitnessReport report;
    TimePoint at{};
  };
  const FitnessReport* said_by(const Uuid& peer, TimePoint now) const;
  Duration write_time_of_peers(TimePoint now) const;

  Channel writes_, reads_;
  std::deque<Given> given_;  // writes, in their order
  TimePoint synced_at_ = TimePoint::min();
  Duration mean_{};  // of synced writes, the newest one an eighth; half of it where they are sparse
  std::map<Uuid, Heard> peers_;
  bool slow_ = false;
  std::optional<TimePoint> other_since_;  // since when it is the other way round than slow_ says
  bool late_ = false;
  Duration lateness_{};
  TimePoint lateness_at_{};
};

}  // namespace ringfs::dht

// What a leader knows of one other replica (etcd's "progress", dissertation section 10.2.1).
//
//   state      meaning                                                        next
//   probe      where the logs agree is not known: one append at a time,       a guess
//              paused until it is answered or given up
//   replicate  appends are pipelined ahead of their answers, within the       behind the last entry that was sent
//              window below
//   snapshot   the entries that the follower needs are no longer in the log:  not used
//              snapshot chunks of the partition's rows, one at a time
//
// At all times match < next, and match <= last_index of the leader's log. Threads: none. Errors: check() aborts.
// Limits: the window below.
#pragma once

#include <deque>
#include <memory>
#include <optional>

#include "dht/base/error.hpp"
#include "dht/base/time.hpp"
#include "dht/core/protocol/effects.hpp"

namespace ringfs::dht {

// Of one append, or one entry if that is larger.
inline constexpr std::size_t max_append_bytes = 1 << 20;
// Appends of one group to one follower that are not answered.
inline constexpr std::size_t max_inflight_messages = 64;
inline constexpr std::size_t max_inflight_bytes = 8 << 20;
// Appends of all groups to one peer. Beyond the first limit only groups that have nothing in flight there go on, beyond
// the second none, so that the peer's queue (dht/net/transport/peer.hpp) has room for heartbeats and votes.
inline constexpr std::size_t max_peer_inflight_bytes = 12 << 20;
inline constexpr std::size_t hard_peer_inflight_bytes = 24 << 20;

struct Progress {
  enum class State : std::uint8_t { probe, replicate, snapshot };
  State state = State::probe;
  LogIndex match = 0;     // everything up to here agrees and is durable there
  LogIndex next = 1;      // to send
  bool paused = false;    // probe: wait for an answer
  bool absent = false;    // it has no rows yet: only a snapshot helps
  bool damaged = false;   // its data on the disk is, as its node said
  bool given_up = false;  // it has no room for what it lacks, and all others answer and have room
  // Its rows change faster than the pace allows to send them: the next snapshot is sent at full speed.
  bool hurried = false;
  unsigned starved = 0;                     // snapshots in a row that it had no room for
  std::optional<TimePoint> short_since;     // since when its node has had no ample room
  TimePoint since{};                        // this leader knows of it
  TimePoint sent_at = TimePoint::min();     // the last append or snapshot chunk
  TimePoint replied_at = TimePoint::min();  // the last answer to one
  TimePoint not_before = TimePoint::min();  // a full disk there, or no slot for a snapshot here: try again then
  EffectId load = 0;                        // outstanding LoadEntries for `next`

  // Heartbeats: the newest acknowledged round.
  std::uint64_t acknowledged_round = 0;
  TimePoint acknowledged_sent_at = TimePoint::min();
  std::uint64_t acknowledged_lease_version = 0;

  struct Inflight {
    LogIndex last = 0;
    std::size_t bytes = 0;
  };
  std::deque<Inflight> inflight;
  std::size_t inflight_bytes = 0;
  std::shared_ptr<std::size_t> peer_inflight_bytes;  // of all groups to that peer; shared by their Progresses

  bool to_be_replaced() const { return damaged || given_up; }
  // Called where `match` or `next` changes. `last_index`: of the leader's log.
  void check(LogIndex last_index) const { RINGFS_CHECK(match < next && match <= last_index); }

  struct Snapshot {
    std::uint64_t number = 0;
    EffectId read = 0;                   // outstanding SnapshotRead
    std::optional<SnapshotChunk> chunk;  // sent last, not acknowledged
    std::uint32_t next_chunk = 0;        // of the outstanding read
    LogIndex last_index = 0;             // of what it contains; 0: the first chunk is not read yet
    TimePoint heard_at{};
    bool waiting = false;   // for the pace
    bool learner = false;   // takes one of the slots for learners
    TimePoint opened_at{};  // its read transaction
  };
  std::optional<Snapshot> snapshot;

  explicit Progress(std::shared_ptr<std::size_t> peer_bytes) : peer_inflight_bytes(std::move(peer_bytes)) {}
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  ~Progress() { *peer_inflight_bytes -= inflight_bytes; }

  bool window_full() const {
    if (inflight.size() >= max_inflight_messages || inflight_bytes >= max_inflight_bytes) return true;
    return *peer_inflight_bytes >= (inflight.empty() ? hard_peer_inflight_bytes : max_peer_inflight_bytes);
  }
  void add_inflight(LogIndex last, std::size_t bytes) {
    inflight.push_back({last, bytes});
    inflight_bytes += bytes;
    *peer_inflight_bytes += bytes;
  }
  void free_inflight(LogIndex through) {
    while (!inflight.empty() && inflight.front().last <= through) {
      inflight_bytes -= inflight.front().bytes;
      *peer_inflight_bytes -= inflight.front().bytes;
      inflight.pop_front();
    }
  }
  // Start over: from what is certain when appends were under way. A probe keeps its place: it has found out nothing
  // yet, and `match` is 0 under a new leader.
  void probe() {
    if (state != State::probe) next = match + 1;
    state = State::probe;
    paused = false;
    load = 0;
    inflight.clear();
    *peer_inflight_bytes -= inflight_bytes;
    inflight_bytes = 0;
  }
};

}  // namespace ringfs::dht

// Appends from a leader to its followers, and what their answers change.
#include "dht/core/raft/leader/replication.hpp"

#include <algorithm>

#include "dht/core/raft/quorum.hpp"
#include "dht/core/rows/room_need.hpp"

namespace ringfs::dht {

namespace {

// In heartbeat intervals: without an answer to an append for so long what was sent is taken for lost.
constexpr int retransmit_intervals = 5;

}  // namespace

void Replication::replicate(const ReplicaId& replica, Progress& progress) {
  while (progress.state != Progress::State::snapshot && !progress.paused && progress.load == 0 &&
         progress.not_before <= now() && !progress.window_full()) {
    if (progress.absent) {
      snapshots_.start(replica, progress);
      return;
    }
    bool nothing_new = progress.next > log_.last_index();
    if (nothing_new && progress.state == Progress::State::replicate) return;
    if (progress.next <= log_.base_index()) {
      snapshots_.start(replica, progress);
      return;
    }
    std::vector<Entry> entries;
    std::size_t bytes = 0;
    for (LogIndex index = progress.next; index <= log_.last_index(); ++index) {
      const Entry* entry = log_.entries().body(index);
      if (entry == nullptr || (!entries.empty() && bytes + entry->bytes() > services_.append_bytes)) break;
      bytes += entry->bytes();
      entries.push_back(*entry);
    }
    const bool loaded = !entries.empty();
    trim_to_room(replica, entries);
    // It says when it has room; every interval looks again. A probe finds out all the same how far it is.
    if (loaded && entries.empty() && progress.state != Progress::State::probe) {
      progress.not_before = now() + services_.timing.heartbeat;
      return;
    }
    if (!loaded && !nothing_new) {
      progress.load = services_.out.load(state_.partition(), progress.next, log_.last_index(), services_.append_bytes);
      return;
    }
    send(replica, progress, std::move(entries));
  }
}

void Replication::send(const ReplicaId& replica, Progress& progress, std::vector<Entry> entries) {
  Append append;
  append.raft = state_.header(replica);
  append.previous_index = progress.next - 1;
  append.previous_term = log_.entries().term(append.previous_index).value();
  append.commit = log_.commit();
  append.lease_version = followers_.lease_version();
  progress.sent_at = now();
  if (progress.state == Progress::State::probe) {
    progress.paused = true;
  } else if (!entries.empty()) {
    std::size_t bytes = 0;
    for (const Entry& entry : entries) bytes += entry.bytes();
    progress.next = entries.back().index + 1;
    progress.add_inflight(entries.back().index, bytes);
    followers_.check(progress);
  }
  append.entries = std::move(entries);
  services_.out.send(replica.node, std::move(append));
}

// What its disk has no room for is not sent: those behind it wait as well.
void Replication::trim_to_room(const ReplicaId& replica, std::vector<Entry>& entries) const {
  const Room room = services_.room_of(replica.node);
  if (room >= Room::low) return;
  auto refused = [&](const Entry& entry) {
    return room == Room::none ? entry.kind == EntryKind::batch : !needs_no_room(entry);
  };
  entries.erase(std::find_if(entries.begin(), entries.end(), refused), entries.end());
}

std::optional<LogIndex> Replication::loaded(EffectId id, Result<std::vector<Entry>> entries) {
  for (auto& [replica, progress] : followers_.all()) {
    if (progress.load != id) continue;
    progress.load = 0;
    state_.mark();
    if (entries) {
      send_loaded(replica, progress, std::move(*entries));
      return std::nullopt;
    }
    // The rows themselves may still be good.
    state_.event("load_failed", "error=" + std::string(to_string(entries.error().code)));
    const LogIndex first = progress.next;
    snapshots_.start(replica, progress);
    return entries.error().code == ErrorCode::corrupt ? std::optional(first) : std::nullopt;
  }
  return std::nullopt;
}

// Unless things have changed since they were asked for.
void Replication::send_loaded(const ReplicaId& replica, Progress& progress, std::vector<Entry> entries) {
  if (progress.state == Progress::State::snapshot || progress.paused || entries.empty()) return;
  if (entries.front().index != progress.next || progress.next <= log_.base_index()) return;
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const Entry& entry = entries[i];
    if (entry.index != progress.next + i || log_.entries().term(entry.index) != entry.term) return;
  }
  trim_to_room(replica, entries);
  if (!entries.empty() || progress.state == Progress::State::probe)
    send(replica, progress, std::move(entries));
  else
    progress.not_before = now() + services_.timing.heartbeat;
}

void Replication::receive(Followers::Map::value_type& follower, const AppendReply& message) {
  auto& [replica, progress] = follower;
  progress.replied_at = now();
  state_.mark();
  if (message.no_space) {
    if (progress.snapshot) return;
    progress.probe();
    progress.not_before = now() + 10 * services_.timing.heartbeat;
  } else if (message.absent) {
    if (progress.match > 0 || is_voter(state_.configuration(), replica)) return;  // late, or makes no sense
    if (!progress.absent) services_.urgent_heartbeats.insert(replica.node);
    progress.absent = true;
    if (!progress.snapshot) progress.probe();
  } else if (!message.success) {
    rejected(progress, message);
  } else if (message.match <= log_.last_index()) {  // otherwise it makes no sense
    matched(progress, message.match);
  }
  followers_.check(progress);
}

void Replication::rejected(Progress& progress, const AppendReply& message) {
  if (progress.state == Progress::State::snapshot || message.rejected <= progress.match) return;  // of the past
  if (progress.state == Progress::State::replicate) {
    progress.probe();
  } else if (message.rejected != progress.next - 1) {
    return;
  }
  progress.load = 0;
  progress.paused = false;
  // Back to the last entry here that the follower can have, whole terms at a time.
  LogIndex agree = std::min(message.hint_index, message.rejected - 1);
  // Below the base only a snapshot helps; replicate() sees to it.
  if (agree >= log_.base_index()) agree = log_.entries().last_with_term_up_to(agree, message.hint_term);
  progress.next = std::max(agree, progress.match) + 1;
}

void Replication::matched(Progress& progress, LogIndex match) {
  progress.match = std::max(progress.match, match);
  ++services_.heartbeat_changes;
  progress.next = std::max(progress.next, progress.match + 1);
  progress.free_inflight(progress.match);
  if (progress.state == Progress::State::probe) {
    progress.paused = false;
    progress.state = Progress::State::replicate;
    progress.next = progress.match + 1;
  } else if (progress.state == Progress::State::snapshot && progress.match >= log_.base_index()) {
    snapshots_.stop(progress);
  }
  followers_.commit();
  followers_.evict_bodies();
}

// Retransmission: what is not answered in time by somebody who answers heartbeats is sent again, from what is certain.
// Whoever does not answer heartbeats gets nothing until he does, but for a new learner: it answers none before an
// append has made it.
void Replication::interval(const ReplicaId& replica, Progress& progress) {
  bool waiting = progress.paused || !progress.inflight.empty();
  TimePoint active = std::max(progress.sent_at, progress.replied_at);
  bool overdue = active + retransmit_intervals * services_.timing.heartbeat + followers_.distance() <= now();
  bool silent = waiting && overdue;
  if (!followers_.answering(progress)) {
    if (silent && progress.state == Progress::State::replicate) {
      progress.probe();
      progress.paused = true;
    } else if (progress.match == 0 && !is_voter(state_.configuration(), replica) && overdue) {
      progress.probe();
      progress.next = log_.last_index() + 1;  // a small one, whatever was compacted meanwhile
      state_.mark();
    }
    return;
  }
  if (silent) progress.probe();
  if (progress.match == log_.last_index() && progress.state != Progress::State::probe) return;
  services_.active_at = now();
  state_.mark();
}

}  // namespace ringfs::dht

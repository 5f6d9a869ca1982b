// The receiving side of appends and heartbeats.
#include "dht/core/raft/follower.hpp"

#include <algorithm>

#include "dht/core/members/touch.hpp"
#include "dht/core/rows/room_need.hpp"

namespace ringfs::dht {

AppendReply Follower::reply_to(const Append& message) const {
  AppendReply reply;
  reply.raft = state_.answer_header(message.raft);
  reply.room = services_.room;
  reply.rejected = message.previous_index;
  return reply;
}

void Follower::receive(const Uuid& source, const Append& message) {
  if (receiver_.installing()) return;  // the log is about to be replaced; the leader sends again
  AppendReply reply = reply_to(message);
  if (!state_.holds_data()) {
    reply.absent = true;
    services_.out.send_after_write(source, reply);
    return;
  }
  std::optional<LogIndex> match = place_entries(message, reply);
  if (match) {
    reply.match = *match;
    log_.advance_commit(std::min(message.commit, *match));
    receiver_.log_reaches(*match);
  }
  // Behind every write so far: what is acknowledged is durable.
  services_.out.send_after_write(source, reply);
  evict_bodies();
}

// Up to where this log agrees with the leader's now. No value: it rejected; `reply` says why.
std::optional<LogIndex> Follower::place_entries(const Append& message, AppendReply& reply) {
  LogIndex last = message.previous_index + message.entries.size();
  const Log& log = log_.entries();
  bool known_before = message.previous_index < log_.commit() ||  // committed entries agree, whatever is before them
                      log.term(message.previous_index) == message.previous_term ||
                      (services_.faults.ignore_previous_term && message.previous_index <= log.last_index());
  if (!known_before) {
    LogIndex hint = log.last_with_term_up_to(message.previous_index, message.previous_term);
    reply.hint_index = std::max(hint, log_.commit());
    reply.hint_term = log.term(reply.hint_index).value();
    return std::nullopt;
  }
  auto entry = message.entries.begin();
  while (entry != message.entries.end() && (entry->index <= log_.commit() || log.term(entry->index) == entry->term))
    ++entry;
  reply.success = true;
  if (entry == message.entries.end()) return std::max(last, std::min(log_.commit(), log.last_index()));
  const std::size_t first = static_cast<std::size_t>(entry - message.entries.begin());
  const auto end = message.entries.begin() + static_cast<std::ptrdiff_t>(fitting_entries(message, first));
  if (entry == end) {
    reply.success = false;
    reply.no_space = true;
    return std::nullopt;
  }
  if (entry->index <= log.last_index()) {
    state_.event("log_truncated", "from=" + std::to_string(entry->index));
    if (log_.truncate_from(entry->index)) election_.configuration_changed();
  }
  for (; entry != end; ++entry) append(*entry);
  return std::min(log.last_index(), last);
}

void Follower::append(const Entry& entry) {
  bool touches = state_.holds_members_table() && entry.kind == EntryKind::batch && touches_members_table(entry);
  RINGFS_CHECK(log_.append(entry, touches));  // well_formed() saw it
  if (entry.kind != EntryKind::configuration) return;
  const ConfigurationAt& newest = log_.configurations().back();
  const std::vector<ReplicaId>& voters = newest.configuration.voters;
  const bool goes = std::find(voters.begin(), voters.end(), state_.id()) == voters.end();
  if (services_.faults.drop_early && goes && state_.promotable()) life_.retire_with(newest);
  election_.configuration_changed();
}

// The entries before this one may be taken in.
std::size_t Follower::fitting_entries(const Append& message, std::size_t first) const {
  if (services_.room >= Room::low) return message.entries.size();
  std::size_t end = first;
  for (; end < message.entries.size(); ++end) {
    const Entry& entry = message.entries[end];
    if (services_.room == Room::none ? entry.kind == EntryKind::batch : !needs_no_room(entry)) break;
  }
  return end;
}

void Follower::heartbeat(LogIndex commit) {
  if (!receiver_.installing() && state_.holds_data()) log_.advance_commit(commit);
}

}  // namespace ringfs::dht

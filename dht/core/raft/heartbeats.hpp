// Heartbeats, one frame per pair of nodes and interval, for all groups that one of them leads
// (docs/design.md#heartbeats).
//
// A list of groups that the other side has acknowledged once is sent as its digest from then on. A reply names its
// round; the sender knows when that round left and which list it carried, so that an acknowledgement counts for exactly
// the terms and replicas that were in it. The group decides what an acknowledgement means (lease, quorum); this is
// bookkeeping.
//
// Of two nodes that lead groups of each other, the one whose interval ends first begins; the other one's round leaves
// with its answer, and so do the next ones. due() says when: half an interval after the last round, so that no more
// than one and a half pass.
//
// Threads: none. Errors: an unknown round or digest is reported, never guessed. Limits: max_unanswered_rounds per peer,
// one list per peer and direction.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "dht/base/time.hpp"
#include "dht/core/protocol/messages.hpp"

namespace ringfs::dht {

// At the shortest distance between rounds that is well beyond the longest election timeout: older ones cannot hold up
// a lease, a quorum or a waiting read.
inline constexpr std::size_t max_unanswered_rounds = 256;

class Heartbeats {
 public:
  using Groups = std::vector<HeartbeatGroup>;

  // The next frame for a peer. `round` must grow from call to call.
  Heartbeat make(const Uuid& peer, Groups groups, std::uint64_t round, TimePoint now);

  struct Acknowledged {
    std::uint64_t round = 0;
    TimePoint sent_at{};
    std::shared_ptr<const Groups> groups;  // shared: consecutive rounds carry the same list
  };
  // Whether the last round to the peer left at least half an interval ago, or none did.
  bool due(const Uuid& peer, Duration interval, TimePoint now) const;

  // What a reply acknowledges (minus its refusals). No value: nothing; `resend` then says whether to send a full list
  // now.
  std::optional<Acknowledged> acknowledge(const Uuid& peer, const HeartbeatReply& reply, bool& resend);

  // The list that a received frame stands for; null: unknown digest.
  std::shared_ptr<const Groups> groups_of(const Uuid& peer, const Heartbeat& heartbeat);

  // The peer restarted or was removed.
  void forget(const Uuid& peer);

 private:
  struct Round {
    std::uint64_t number = 0;
    TimePoint sent_at{};
    std::uint64_t digest = 0;
    std::shared_ptr<const Groups> groups;
  };
  struct Peer {
    std::deque<Round> rounds;              // sent, not answered
    TimePoint sent_at = TimePoint::min();  // the newest one
    std::uint64_t acknowledged_digest = 0;
    bool acknowledged = false;  // acknowledged_digest is known there
    std::shared_ptr<const Groups> last_sent;
    std::uint64_t last_digest = 0;
    std::uint64_t received_digest = 0;
    std::shared_ptr<const Groups> received;
  };
  std::map<Uuid, Peer> peers_;
};

std::uint64_t digest_of(const std::vector<HeartbeatGroup>& groups);

}  // namespace ringfs::dht

// The network of Chord objects that chord_test.cpp uses.
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/unit/core/chord/network.hpp"

namespace ringfs::dht {

Uuid ChordNetwork::add_row(unsigned tokens) {
  Member member;
  member.id = random_uuid(random_);
  member.state = MemberState::up;
  member.tokens = allocate_tokens(table_, member.id, test_partition_bits, tokens);
  Uuid id = member.id;
  auto place = std::lower_bound(table_.members.begin(), table_.members.end(), id,
                                [](const Member& a, const Uuid& wanted) { return a.id < wanted; });
  table_.members.insert(place, std::move(member));
  ++table_.version;
  return id;
}

void ChordNetwork::add_first_rows(std::size_t nodes, unsigned tokens) {
  std::vector<Uuid> ids;
  for (std::size_t i = 0; i < nodes; ++i) ids.push_back(random_uuid(random_));
  for (auto& [id, positions] : allocate_first_tokens(ids, test_partition_bits, replication_, tokens)) {
    Member member;
    member.id = id;
    member.tokens = positions;
    table_.members.push_back(std::move(member));
  }
  ++table_.version;
}

void ChordNetwork::remove_row(const Uuid& node) {
  for (Member& member : table_.members) {
    if (member.id == node) member.state = MemberState::removed;
  }
  ++table_.version;
}

void ChordNetwork::publish() {
  for (auto& [id, running] : nodes_) {
    running->chord->set_table(table_, now_);
    collect(id);
  }
}

void ChordNetwork::start(const Uuid& node) {
  auto running = std::make_unique<Running>();
  running->random = std::make_unique<SeededRandom>(random_.next());
  ChordOptions options;
  options.self = node;
  options.tokens = table_.find(node)->tokens;
  options.replication = replication_;
  running->chord = std::make_unique<Chord>(options, *running->random, now_);
  running->chord->set_table(table_, now_);
  nodes_[node] = std::move(running);
  collect(node);
}

bool ChordNetwork::connected(const Uuid& a, const Uuid& b) const {
  auto group = [this](const Uuid& node) {
    auto found = groups_.find(node);
    return found == groups_.end() ? 0 : found->second;
  };
  return group(a) == group(b);
}

void ChordNetwork::collect(const Uuid& node) {
  for (auto& [destination, message] : nodes_.at(node)->chord->take_messages()) {
    ++messages_sent_;
    ASSERT_NE(destination, node) << "a node sends itself nothing";
    bool lost = static_cast<double>(random_.below(10000)) < loss * 10000;
    if (lost || !connected(node, destination)) continue;
    auto delay = Duration(200 + static_cast<Duration::rep>(random_.below(20000)));
    in_flight_.emplace(now_ + delay, InFlight{node, destination, std::move(message)});
  }
}

void ChordNetwork::run(Duration duration) {
  TimePoint end = now_ + duration;
  TimePoint last_tick = TimePoint::min();
  std::size_t ticks_at_once = 0;
  for (;;) {
    TimePoint next = in_flight_.empty() ? never : in_flight_.begin()->first;
    Uuid ticking;
    for (auto& [id, running] : nodes_) {
      TimePoint deadline = running->chord->deadline();
      if (deadline < next) {
        next = deadline;
        ticking = id;
      }
    }
    if (next > end) break;
    now_ = std::max(now_, next);
    if (!ticking.is_nil()) {
      nodes_.at(ticking)->chord->tick(now_);
      ticks_at_once = now_ == last_tick ? ticks_at_once + 1 : 0;
      last_tick = now_;
      ASSERT_LT(ticks_at_once, 1000U) << "a tick must move the deadline on";
      collect(ticking);
      continue;
    }
    InFlight message = std::move(in_flight_.begin()->second);
    in_flight_.erase(in_flight_.begin());
    auto destination = nodes_.find(message.destination);
    if (destination == nodes_.end() || !connected(message.source, message.destination)) continue;
    destination->second->chord->receive(message.source, message.message, now_);
    collect(message.destination);
  }
  now_ = end;
}

std::vector<Uuid> ChordNetwork::running_nodes() const {
  std::vector<Uuid> ids;
  for (const auto& [id, running] : nodes_) ids.push_back(id);
  return ids;
}

std::vector<ChordPeer> ChordNetwork::live_ring() const {
  std::vector<ChordPeer> ring;
  for (const Member& member : table_.members) {
    if (!nodes_.contains(member.id) || member.state == MemberState::removed) continue;
    for (const Position& token : member.tokens) ring.push_back({member.id, token});
  }
  std::sort(ring.begin(), ring.end(), [](const ChordPeer& a, const ChordPeer& b) { return a.token < b.token; });
  return ring;
}

std::string ChordNetwork::difference_from_ideal(bool everything, std::optional<int> group) const {
  std::vector<ChordPeer> ring = live_ring();
  std::set<Uuid> seen;
  if (group) {
    std::erase_if(ring, [&](const ChordPeer& peer) {
      auto found = groups_.find(peer.node);
      return (found == groups_.end() ? 0 : found->second) != *group;
    });
  }
  for (const ChordPeer& peer : ring) seen.insert(peer.node);
  for (std::size_t i = 0; i < ring.size(); ++i) {
    const ChordPeer& self = ring[i];
    std::string where = "token " + self.token.hex().substr(0, 4) + " of " + self.node.text().substr(0, 4) + ": ";
    const Chord::Pointers& pointers = nodes_.at(self.node)->chord->pointers().at(self.token);
    if (!pointers.member) return where + "not a member";
    if (ring.size() == 1) return pointers.successors.empty() ? "" : where + "has a successor";
    if (pointers.predecessor != ring[(i + ring.size() - 1) % ring.size()]) return where + "wrong predecessor";
    std::set<Uuid> named;
    std::size_t wanted = std::min<std::size_t>(replication_, seen.size() - 1);
    for (std::size_t k = 0; k < pointers.successors.size(); ++k) {
      // What a small ring's lists hold beyond the nodes they have to name comes around slowly.
      if (!everything && !named.empty() && named.size() >= wanted) break;
      if (k + 1 >= ring.size()) return where + "list comes around";
      if (pointers.successors[k] != ring[(i + 1 + k) % ring.size()]) {
        return where + "wrong successor " + std::to_string(k);
      }
      if (pointers.successors[k].node != self.node) named.insert(pointers.successors[k].node);
    }
    if (pointers.successors.empty()) return where + "no successors";
    if (named.size() < wanted) return where + "list names too few nodes";
    if (!everything) continue;
    for (unsigned finger = 0; finger < 160; ++finger) {
      Position start = plus_power_of_two(self.token, finger);
      if (in_half_open_arc(self.token, start, pointers.successors.front().token)) continue;
      auto ideal = std::lower_bound(ring.begin(), ring.end(), start,
                                    [](const ChordPeer& peer, const Position& at) { return peer.token < at; });
      if (ideal == ring.end()) ideal = ring.begin();
      if (pointers.fingers.at(finger) != *ideal) return where + "wrong finger " + std::to_string(finger);
    }
  }
  return "";
}

bool ChordNetwork::is_member(const ChordPeer& peer) const {
  auto node = nodes_.find(peer.node);
  if (node == nodes_.end()) return false;
  const auto& pointers = node->second->chord->pointers();
  auto found = pointers.find(peer.token);
  return found != pointers.end() && found->second.member;
}

std::string ChordNetwork::missing_live_successor() const {
  std::vector<ChordPeer> ring = live_ring();
  std::erase_if(ring, [this](const ChordPeer& peer) { return !is_member(peer); });
  if (ring.size() < 2) return "";
  for (const ChordPeer& self : ring) {
    const Chord::Pointers& pointers = nodes_.at(self.node)->chord->pointers().at(self.token);
    bool live = std::any_of(pointers.successors.begin(), pointers.successors.end(),
                            [this](const ChordPeer& peer) { return is_member(peer); });
    if (!live) return "token " + self.token.hex().substr(0, 4) + " has no live successor";
  }
  return "";
}

std::optional<std::pair<ChordPeer, unsigned>> ChordNetwork::lookup(const Uuid& first, const Position& position) {
  Uuid asked = first;
  for (unsigned hops = 1; hops <= 64; ++hops) {
    auto found = nodes_.find(asked);
    if (found == nodes_.end()) return {};
    Chord::Step step = found->second->chord->find(position);
    if (!step.member) return {};
    if (step.final) return std::pair{step.peer, hops};
    asked = step.peer.node;
  }
  return {};
}

}  // namespace ringfs::dht

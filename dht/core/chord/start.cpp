// How a node comes into the ring: by asking remembered nodes, or, when none of them is a member, from the table.
#include <algorithm>

#include "dht/core/chord/implementation.hpp"

namespace ringfs::dht {

namespace {

constexpr std::size_t most_probes = 8;  // remembered nodes that are asked at the same time

}  // namespace

void Chord::Implementation::set_table(std::shared_ptr<const MembersTable> table, TimePoint now) {
  now_ = now;
  peers_.set_table(std::move(table));
  take_own_tokens();
  if (phase_ == Phase::idle) {
    start_probing();
  } else {
    drop_unknown_peers();
    hurry();
  }
  handle_local();
}

void Chord::Implementation::take_own_tokens() {
  std::vector<Position> wanted = options_.tokens;  // as long as the table does not say otherwise
  if (const Member* row = peers_.own_row()) {
    wanted = row->state == MemberState::removed ? std::vector<Position>{} : row->tokens;
  }
  std::sort(wanted.begin(), wanted.end());
  auto gone = [&wanted](const auto& entry) { return !std::binary_search(wanted.begin(), wanted.end(), entry.first); };
  std::erase_if(tokens_, gone);
  std::erase_if(pointers_, gone);
  for (const Position& token : wanted) {
    if (!tokens_.try_emplace(token).second) continue;
    Token& state = tokens_[token];
    state.interval = options_.timing.stabilize;
    state.join_until = now_ + options_.timing.stabilize;
    state.next_join = now_;
    pointers_[token].fingers.resize(fingers_per_token);
  }
}

void Chord::Implementation::drop_unknown_peers() {
  auto unknown = [this](const ChordPeer& peer) { return !peers_.known(peer); };
  for (auto& [token, pointers] : pointers_) {
    std::erase_if(pointers.successors, unknown);
    if (pointers.predecessor && unknown(*pointers.predecessor)) pointers.predecessor.reset();
    for (auto& finger : pointers.fingers) {
      if (finger && unknown(*finger)) finger.reset();
    }
    Token& state = tokens_.at(token);
    if (state.candidate && unknown(*state.candidate)) state.candidate.reset();
    if (pointers.member && pointers.successors.empty()) pointers_from_table(token, state);
  }
  std::erase_if(entries_, [this](const Uuid& node) { return peers_.dead(node); });
}

void Chord::Implementation::start_probing() {
  phase_ = Phase::probing;
  probing_until_ = now_ + options_.timing.stabilize;
  probe_candidates_ = peers_.others(random_);
  std::reverse(probe_candidates_.begin(), probe_candidates_.end());
  while (probes_.size() < most_probes && !probe_candidates_.empty()) ask_next_probe();
  if (probes_.empty()) start_running();
}

void Chord::Implementation::ask_next_probe() {
  Uuid node = probe_candidates_.back();
  probe_candidates_.pop_back();
  std::uint64_t request = next_request_++;
  probes_[request] = {node, now_, now_ + timeout()};
  Position any = pointers_.empty() ? Position{} : pointers_.begin()->first;
  send(node, ChordFind{request, any});
}

void Chord::Implementation::probe_answered(const Uuid& node, bool member) {
  if (member) {
    entries_.push_back(node);
    start_running();
    return;
  }
  if (!probe_candidates_.empty()) ask_next_probe();
  if (probes_.empty()) start_running();
}

void Chord::Implementation::run_probes() {
  std::vector<Probe> silent;
  std::erase_if(probes_, [&](const auto& entry) {
    if (entry.second.deadline > now_) return false;
    silent.push_back(entry.second);
    return true;
  });
  for (const Probe& probe : silent) note_silence(probe.node, probe.sent);
  if (now_ >= probing_until_) {
    start_running();
    return;
  }
  while (probes_.size() < most_probes && !probe_candidates_.empty()) ask_next_probe();
  if (probes_.empty()) start_running();
}

// Either through a node that is a member, or from the table: then the whole ring restarts, or was just created.
void Chord::Implementation::start_running() {
  phase_ = Phase::running;
  probes_.clear();
  probe_candidates_.clear();
  next_merge_ = now_ + jittered(options_.timing.merge);
  std::vector<ChordPeer> ring;
  if (entries_.empty()) ring = peers_.ring();
  for (auto& [token, state] : tokens_) {
    if (entries_.empty()) {
      pointers_from_ring(token, state, ring);
    } else {
      state.join_until = std::max(probing_until_, now_ + options_.timing.stabilize / 4);
      start_join(token, state, token);
    }
  }
}

// Looks for the first token behind `behind`. That is the own one to begin with: its position itself may still lead to
// this very token, as it was before a restart.
void Chord::Implementation::start_join(const Position& token, Token& state, const Position& behind_token) {
  Position behind = plus_power_of_two(behind_token, 0);
  bool other_member =
      std::any_of(pointers_.begin(), pointers_.end(), [](const auto& own) { return own.second.member; });
  if (other_member) {
    begin(state.joining, behind, self_);
  } else if (!entries_.empty()) {
    begin(state.joining, behind, entries_.back());
  } else {
    pointers_from_table(token, state);
  }
}

void Chord::Implementation::join_found(const Position& token, Token& state, const ChordPeer& successor) {
  if (successor.token == token || !peers_.known(successor)) return;  // tried again until join_until
  ask(state.stabilizing, Ask::Why::join, successor);
}

// The successor's whole list in one step. The predecessor is left to rectify.
void Chord::Implementation::joined(const Position& token, Token& state, const ChordPeer& successor,
                                   const ChordNeighbours& reply) {
  Pointers& pointers = pointers_.at(token);
  pointers.member = true;
  pointers.predecessor.reset();
  pointers.successors = lists_.successors(token, successor, reply.successors);
  std::fill(pointers.fingers.begin(), pointers.fingers.end(), std::nullopt);
  state.finger = 0;
  state.fingers_complete = false;
  state.changed = true;
  state.next_stabilize = now_;
  fix_next_finger(token, state);
}

void Chord::Implementation::pointers_from_table(const Position& token, Token& state) {
  pointers_from_ring(token, state, peers_.ring());
}

void Chord::Implementation::pointers_from_ring(const Position& token, Token& state,
                                               const std::vector<ChordPeer>& ring) {
  Pointers& pointers = pointers_.at(token);
  pointers = lists_.ideal(token, ring);
  // Whom the table remembers may be gone; the next own token is not. It keeps the list from running dry.
  auto next = pointers_.upper_bound(token);
  ChordPeer own{self_, next == pointers_.end() ? pointers_.begin()->first : next->first};
  bool reaches = !pointers.successors.empty() && in_open_arc(token, own.token, pointers.successors.back().token);
  bool listed = pointers.successors.empty() || own.token == token || pointers.successors.back() == own || reaches;
  if (!listed && peers_.known(own)) pointers.successors.push_back(own);
  state.joining.reset();
  state.fixing.reset();
  state.stabilizing.reset();
  state.finger = 0;
  state.fingers_complete = true;
  state.changed = true;
  state.interval = options_.timing.stabilize;
  state.next_stabilize = now_ + jittered(options_.timing.stabilize / 2);
}

void Chord::Implementation::retry_join(Token& state) {
  state.next_join = now_ + jittered(options_.timing.stabilize / 20);
}

}  // namespace ringfs::dht

#include "dht/core/chord/chord.hpp"

#include <algorithm>

#include "dht/base/error.hpp"
#include "dht/core/chord/implementation.hpp"

namespace ringfs::dht {

Chord::Chord(ChordOptions options, Random& random, TimePoint now)
    : implementation_(std::make_unique<Implementation>(std::move(options), random, now)) {}
Chord::~Chord() = default;

void Chord::set_table(const MembersTable& table, TimePoint now) {
  implementation_->set_table(std::make_shared<const MembersTable>(table), now);
}
void Chord::set_table(std::shared_ptr<const MembersTable> table, TimePoint now) {
  RINGFS_CHECK(table != nullptr);
  implementation_->set_table(std::move(table), now);
}
void Chord::receive(const Uuid& source, const ChordMessage& message, TimePoint now) {
  implementation_->receive(source, message, now);
}
void Chord::tick(TimePoint now) { implementation_->tick(now); }
TimePoint Chord::deadline() const { return implementation_->deadline(); }
void Chord::peer_failed(const Uuid& node, TimePoint now) { implementation_->peer_failed(node, now); }
void Chord::peer_heard(const Uuid& node) { implementation_->peer_heard(node); }
Chord::Step Chord::find(const Position& position) const { return implementation_->find(position); }
std::vector<std::pair<Uuid, ChordMessage>> Chord::take_messages() { return implementation_->take_messages(); }
const std::map<Position, Chord::Pointers>& Chord::pointers() const { return implementation_->pointers(); }

Chord::Implementation::Implementation(ChordOptions options, Random& random, TimePoint now)
    : options_(std::move(options)),
      self_(options_.self),
      random_(random),
      now_(now),
      peers_(self_),
      lists_(self_, options_.replication, peers_) {}

void Chord::Implementation::send(const Uuid& node, ChordMessage message) {
  if (node == self_) {
    local_.push_back(std::move(message));
  } else {
    messages_.emplace_back(node, std::move(message));
  }
}

// Ends: each local question has one answer, and a lookup a bounded number of hops.
void Chord::Implementation::handle_local() {
  while (!local_.empty()) {
    ChordMessage message = std::move(local_.front());
    local_.pop_front();
    handle(self_, message);
  }
}

void Chord::Implementation::handle(const Uuid& source, const ChordMessage& message) {
  std::visit([&](const auto& body) { on(source, body); }, message);
}

void Chord::Implementation::receive(const Uuid& source, const ChordMessage& message, TimePoint now) {
  now_ = now;
  if (source == self_) return;  // only local_ speaks for this node
  if (peers_.heard(source)) hurry();
  handle(source, message);
  handle_local();
}

void Chord::Implementation::on(const Uuid& source, const ChordNeighboursRequest& request) {
  ChordNeighbours reply;
  reply.request = request.request;
  auto found = pointers_.find(request.token);
  if (found != pointers_.end() && found->second.member) {
    reply.member = true;
    const auto& predecessor = found->second.predecessor;
    if (predecessor && peers_.alive(*predecessor)) reply.predecessor = predecessor;
    reply.successors = found->second.successors;
  }
  send(source, std::move(reply));
}

void Chord::Implementation::on(const Uuid& source, const ChordNeighbours& reply) {
  auto answers = [&](const std::optional<Ask>& slot) {
    return slot && slot->request == reply.request && slot->peer.node == source;
  };
  for (auto& [token, state] : tokens_) {
    if (answers(state.stabilizing)) {
      Ask asked = *std::exchange(state.stabilizing, {});
      stabilize_answered(token, state, asked, reply);
      return;
    }
    if (answers(state.checking)) {
      state.checking.reset();
      if (!reply.member) predecessor_gone(token, state);
      state.candidate.reset();
      return;
    }
  }
}

void Chord::Implementation::on(const Uuid& source, const ChordNotify& notify) {
  auto found = tokens_.find(notify.token);
  if (found == tokens_.end() || notify.candidate.node != source || !peers_.known(notify.candidate)) return;
  if (pointers_.at(notify.token).member) rectify(notify.token, found->second, notify.candidate);
}

void Chord::Implementation::on(const Uuid& source, const ChordFind& find_request) {
  Step step = find(find_request.position);
  send(source, ChordFound{find_request.request, step.member, step.final, step.peer, step.through});
}

void Chord::Implementation::on(const Uuid& source, const ChordFound& found) {
  if (auto probe = probes_.find(found.request); probe != probes_.end() && probe->second.node == source) {
    probes_.erase(probe);
    probe_answered(source, found.member);
    return;
  }
  auto answers = [&](const std::optional<Lookup>& slot) {
    return slot && slot->request == found.request && slot->asked == source;
  };
  for (auto& [token, state] : tokens_) {
    if (answers(state.joining)) {
      if (auto peer = follow(state.joining, found)) join_found(token, state, *peer);
      if (!state.joining && !state.stabilizing && !pointers_.at(token).member) retry_join(state);
      return;
    }
    if (answers(state.fixing)) {
      if (auto peer = follow(state.fixing, found)) {
        finger_found(token, state, *peer);
      } else if (!state.fixing) {
        ++state.finger;  // failed: the others must not wait for this one
      }
      return;
    }
    if (answers(state.merging)) {
      if (auto peer = follow(state.merging, found)) merge_found(token, state, *peer);
      return;
    }
  }
}

void Chord::Implementation::peer_failed(const Uuid& node, TimePoint now) {
  now_ = now;
  if (peers_.failed(node, now)) hurry();
}

void Chord::Implementation::peer_heard(const Uuid& node) {
  if (peers_.heard(node)) revived_ = true;
}

void Chord::Implementation::note_silence(const Uuid& node, TimePoint sent) {
  if (peers_.silent(node, sent, now_)) hurry();
}

Duration Chord::Implementation::jittered(Duration duration) {
  auto tenth = static_cast<std::uint64_t>(std::max<Duration::rep>(duration.count() / 10, 1));
  return duration - Duration(static_cast<Duration::rep>(random_.below(tenth)));
}

void Chord::Implementation::hurry() {
  for (auto& [token, state] : tokens_) hurry(state, options_.timing.stabilize / 10);
}

void Chord::Implementation::hurry(Token& state, Duration delay) {
  state.changed = true;
  state.interval = options_.timing.stabilize;
  state.next_stabilize = std::min(state.next_stabilize, now_ + jittered(delay));
}

void Chord::Implementation::expire_requests(const Position& token, Token& state) {
  if (state.stabilizing && state.stabilizing->deadline <= now_) {
    Ask asked = *std::exchange(state.stabilizing, {});
    note_silence(asked.peer.node, asked.sent);
    stabilize_unanswered(token, state, asked);
  }
  if (state.checking && state.checking->deadline <= now_) {
    Ask asked = *std::exchange(state.checking, {});
    note_silence(asked.peer.node, asked.sent);
    if (peers_.dead(asked.peer.node)) {
      predecessor_gone(token, state);
      state.candidate.reset();
    } else {
      ask(state.checking, Ask::Why::predecessor, asked.peer);
    }
  }
  for (auto* slot : {&state.joining, &state.fixing, &state.merging}) {
    if (!*slot || (*slot)->deadline > now_) continue;
    Lookup lookup = *std::exchange(*slot, {});
    note_silence(lookup.asked, lookup.sent);
    if (slot == &state.joining) retry_join(state);
    if (slot == &state.fixing) ++state.finger;
  }
}

void Chord::Implementation::tick(TimePoint now) {
  now_ = now;
  if (std::exchange(revived_, false)) hurry();
  if (phase_ == Phase::probing) run_probes();
  if (phase_ == Phase::running) {
    for (auto& [token, state] : tokens_) {
      expire_requests(token, state);
      if (!pointers_.at(token).member) {
        if (state.join_until <= now_) {
          pointers_from_table(token, state);
        } else if (state.next_join <= now_ && !state.joining && !state.stabilizing) {
          start_join(token, state, token);
        }
      }
      if (pointers_.at(token).member && state.next_stabilize <= now_) stabilize(token, state);
      handle_local();
    }
    if (next_merge_ <= now_) merge();
  }
  handle_local();
}

TimePoint Chord::Implementation::deadline() const {
  if (phase_ == Phase::idle) return never;
  if (revived_) return now_;
  TimePoint next = never;
  if (phase_ == Phase::probing) {
    next = probing_until_;
    for (const auto& [request, probe] : probes_) next = std::min(next, probe.deadline);
    return next;
  }
  if (!tokens_.empty()) next = next_merge_;
  auto pointers = pointers_.begin();  // of the same tokens
  for (const auto& [token, state] : tokens_) {
    if ((pointers++)->second.member) {
      next = std::min(next, state.next_stabilize);
    } else {
      next = std::min(next, state.join_until);
      if (!state.joining && !state.stabilizing) next = std::min(next, state.next_join);
    }
    if (state.stabilizing) next = std::min(next, state.stabilizing->deadline);
    if (state.checking) next = std::min(next, state.checking->deadline);
    for (const auto* slot : {&state.joining, &state.fixing, &state.merging}) {
      if (*slot) next = std::min(next, (*slot)->deadline);
    }
  }
  return next;
}

}  // namespace ringfs::dht

// A Chord node: its start, its messages, and the look for a ring that should be this one.
#include "dht/core/chord/chord.hpp"

#include <algorithm>

#include "dht/base/error.hpp"

namespace ringfs::dht {

Chord::Chord(ChordOptions options, Random& random, TimePoint now)
    : context_(std::move(options), random, now), search_(context_) {
  context_.hurry = [this] { hurry(); };
}

// ---- Start -----------------------------------------------------------------------------------------

void Chord::set_table(const MembersTable& table, TimePoint now) {
  set_table(std::make_shared<const MembersTable>(table), now);
}

void Chord::set_table(std::shared_ptr<const MembersTable> table, TimePoint now) {
  RINGFS_CHECK(table != nullptr);
  context_.now = now;
  context_.peers.set_table(std::move(table));
  take_own_tokens();
  if (phase_ == Phase::idle) {
    phase_ = Phase::searching;
    if (search_.start()) start_running();
  } else {
    for (auto& [token, node] : virtual_nodes_) node.forget_unknown_peers();
    std::erase_if(context_.entries, [this](const Uuid& node) { return context_.peers.dead(node); });
    hurry();
  }
  handle_local();
}

void Chord::take_own_tokens() {
  std::vector<Position> wanted = context_.options.tokens;
  if (const Member* row = context_.peers.own_row()) {
    wanted = row->state == MemberState::removed ? std::vector<Position>{} : row->tokens;
  }
  std::sort(wanted.begin(), wanted.end());
  std::erase_if(virtual_nodes_, [&wanted](const auto& entry) {
    return !std::binary_search(wanted.begin(), wanted.end(), entry.first);
  });
  for (const Position& token : wanted) virtual_nodes_.try_emplace(token, context_, token);
}

// Either through a node that is a member, or from the table: then the whole ring restarts, or was just created.
void Chord::start_running() {
  phase_ = Phase::running;
  search_.stop();
  next_merge_ = context_.now + context_.jittered(context_.options.timing.merge);
  const bool from_table = context_.entries.empty();
  std::vector<ChordPeer> ring;
  if (from_table) ring = context_.peers.ring();
  for (auto& [token, node] : virtual_nodes_) {
    if (from_table)
      node.take_ring(ring);
    else
      node.join(std::max(search_.until(), context_.now + context_.options.timing.stabilize / 4));
  }
}

// ---- Messages --------------------------------------------------------------------------------------

void Chord::receive(const Uuid& source, const ChordMessage& message, TimePoint now) {
  context_.now = now;
  if (source == context_.self) return;  // only ChordContext::local speaks for this node
  if (context_.peers.heard(source)) hurry();
  handle(source, message);
  handle_local();
}

void Chord::handle(const Uuid& source, const ChordMessage& message) {
  std::visit([&](const auto& body) { on(source, body); }, message);
}

// Ends: each local question has one answer, and a look-up a bounded number of hops.
void Chord::handle_local() {
  while (!context_.local.empty()) {
    const ChordMessage message = std::move(context_.local.front());
    context_.local.pop_front();
    handle(context_.self, message);
  }
}

void Chord::on(const Uuid& source, const ChordNeighboursRequest& request) {
  ChordNeighbours reply;
  reply.request = request.request;
  auto found = context_.pointers.find(request.token);
  if (found != context_.pointers.end() && found->second.member) {
    reply.member = true;
    const auto& predecessor = found->second.predecessor;
    if (predecessor && context_.peers.alive(*predecessor)) reply.predecessor = predecessor;
    reply.successors = found->second.successors;
  }
  context_.send(source, std::move(reply));
}

void Chord::on(const Uuid& source, const ChordNeighbours& reply) {
  for (auto& [token, node] : virtual_nodes_) {
    if (node.take(source, reply)) return;
  }
}

void Chord::on(const Uuid& source, const ChordNotify& notify) {
  auto found = virtual_nodes_.find(notify.token);
  if (found == virtual_nodes_.end() || notify.candidate.node != source || !context_.peers.known(notify.candidate))
    return;
  found->second.notified(notify.candidate);
}

void Chord::on(const Uuid& source, const ChordFind& find_request) {
  const Step step = find(find_request.position);
  context_.send(source, ChordFound{find_request.request, step.member, step.final, step.peer, step.through});
}

void Chord::on(const Uuid& source, const ChordFound& found) {
  if (search_.awaits(source, found)) {
    if (search_.answered(found)) start_running();
    return;
  }
  for (auto& [token, node] : virtual_nodes_) {
    if (node.take(source, found)) return;
  }
}

void Chord::peer_failed(const Uuid& node, TimePoint now) {
  context_.now = now;
  if (context_.peers.failed(node, now)) hurry();
}

void Chord::peer_heard(const Uuid& node) {
  if (context_.peers.heard(node)) revived_ = true;
}

// ---- Time ------------------------------------------------------------------------------------------

void Chord::hurry() {
  for (auto& [token, node] : virtual_nodes_) node.hurry(context_.options.timing.stabilize / 10);
}

void Chord::tick(TimePoint now) {
  context_.now = now;
  if (std::exchange(revived_, false)) hurry();
  if (phase_ == Phase::searching && search_.tick()) start_running();
  if (phase_ == Phase::running) {
    for (auto& [token, node] : virtual_nodes_) {
      node.tick();
      handle_local();
    }
    if (next_merge_ <= context_.now) merge();
  }
  handle_local();
}

// A split ring never heals by stabilization alone: look the own tokens up through somebody who is remembered, dead or
// alive. More often while nobody else seems to be there.
void Chord::merge() {
  const Timing& timing = context_.options.timing;
  const bool alone = context_.peers.live_others() == 0;
  next_merge_ = context_.now + context_.jittered(alone ? std::min(2 * timing.stabilize, timing.merge) : timing.merge);
  const std::vector<Uuid> others = context_.peers.others(context_.random);
  if (others.empty()) return;
  const Uuid through = others[context_.random.below(others.size())];
  for (auto& [token, node] : virtual_nodes_) {
    const bool asked = node.look_for_other_ring(through);
    if (asked && alone) break;  // one question is enough to find out whether it lives
  }
}

TimePoint Chord::deadline() const {
  if (phase_ == Phase::idle) return never;
  if (revived_) return context_.now;
  if (phase_ == Phase::searching) return search_.deadline();
  TimePoint next = virtual_nodes_.empty() ? never : next_merge_;
  for (const auto& [token, node] : virtual_nodes_) next = std::min(next, node.deadline());
  return next;
}

}  // namespace ringfs::dht

// Who is known, and who seems to be alive.
#include "dht/core/chord/peers.hpp"

#include <algorithm>

namespace ringfs::dht {

namespace {

constexpr unsigned silences_of_the_dead = 2;

// In the ring: everybody but the dead, who come back by themselves, and the removed.
bool belongs(const Member& member) {
  return member.state == MemberState::joining || member.state == MemberState::up ||
         member.state == MemberState::leaving;
}

}  // namespace

ChordPeers::ChordPeers(Uuid self) : self_(self) {}

void ChordPeers::set_table(std::shared_ptr<const MembersTable> table) {
  table_ = std::move(table);
  std::erase_if(beliefs_, [this](const auto& belief) {
    const Member* member = table_->find(belief.first);
    return member == nullptr || member->state == MemberState::removed;
  });
}

bool ChordPeers::known(const ChordPeer& peer) const {
  const Member* member = table_ ? table_->find(peer.node) : nullptr;
  return member != nullptr && member->state != MemberState::removed &&
         std::binary_search(member->tokens.begin(), member->tokens.end(), peer.token);
}

bool ChordPeers::dead(const Uuid& node) const {
  auto belief = beliefs_.find(node);
  return belief != beliefs_.end() && belief->second.dead;
}

bool ChordPeers::worth_asking(const Uuid& node, TimePoint now, Duration timeout) {
  auto belief = beliefs_.find(node);
  if (belief == beliefs_.end() || !belief->second.dead) return true;
  if (now < belief->second.ask_again) return false;
  belief->second.ask_again = now + timeout;
  return true;
}

bool ChordPeers::heard(const Uuid& node) {
  auto belief = beliefs_.find(node);
  if (belief == beliefs_.end()) return false;
  bool revived = belief->second.dead;
  beliefs_.erase(belief);
  return revived;
}

bool ChordPeers::failed(const Uuid& node, TimePoint now) {
  if (node == self_ || !table_ || table_->find(node) == nullptr) return false;
  Belief& belief = beliefs_[node];
  bool changed = !belief.dead;
  belief.dead = true;
  belief.last_silence = now;
  return changed;
}

bool ChordPeers::silent(const Uuid& node, TimePoint sent, TimePoint now) {
  if (node == self_ || !table_ || table_->find(node) == nullptr) return false;
  Belief& belief = beliefs_[node];
  if (belief.silences > 0 && sent < belief.last_silence) return false;
  belief.last_silence = now;
  belief.silences = std::min(belief.silences + 1, silences_of_the_dead);
  if (belief.dead || belief.silences < silences_of_the_dead) return false;
  belief.dead = true;
  return true;
}

std::size_t ChordPeers::live_others() const {
  if (!table_) return 0;
  return static_cast<std::size_t>(
      std::count_if(table_->members.begin(), table_->members.end(), [this](const Member& member) {
        return member.id != self_ && belongs(member) && !member.tokens.empty() && !dead(member.id);
      }));
}

std::vector<Uuid> ChordPeers::others(Random& random) const {
  std::vector<Uuid> first;
  std::vector<Uuid> last;
  if (!table_) return first;
  for (const Member& member : table_->members) {
    if (member.id == self_ || member.state == MemberState::removed) continue;
    (belongs(member) ? first : last).push_back(member.id);
  }
  auto shuffle = [&random](std::vector<Uuid>& nodes) {
    for (std::size_t i = nodes.size(); i > 1; --i) std::swap(nodes[i - 1], nodes[random.below(i)]);
  };
  shuffle(first);
  shuffle(last);
  first.insert(first.end(), last.begin(), last.end());
  return first;
}

std::vector<ChordPeer> ChordPeers::ring() const {
  std::vector<ChordPeer> peers;
  if (!table_) return peers;
  for (const Member& member : table_->members) {
    bool in_ring = member.id == self_ ? member.state != MemberState::removed : belongs(member) && !dead(member.id);
    if (!in_ring) continue;
    for (const Position& token : member.tokens) peers.push_back({member.id, token});
  }
  std::sort(peers.begin(), peers.end(), [](const ChordPeer& a, const ChordPeer& b) { return a.token < b.token; });
  return peers;
}

}  // namespace ringfs::dht

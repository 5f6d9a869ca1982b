// Which messages and handshakes of peers are refused, and how that is told.
#include "dht/core/node/peer_identities.hpp"

namespace ringfs::dht {

PeerIdentities::PeerIdentities(GroupServices& services, const KnownRing& ring,
                               const std::vector<std::pair<Uuid, Incarnation>>& known)
    : services_(services), ring_(ring) {
  for (const auto& [peer, incarnation] : known) known_[peer] = incarnation;
}

void PeerIdentities::refused_event(const char* name, const Uuid& source) {
  const TimePoint now = services_.clock.now;
  auto [last, fresh] = refusal_events_.try_emplace(name, now);
  if (!fresh && last->second + refusal_event_gap > now) return;
  last->second = now;
  services_.out.event(name, "source=" + source.text());
}

const char* PeerIdentities::refusal(const Uuid& peer, const Incarnation& incarnation) const {
  if (peer == services_.self) return "clone_refused";  // somebody runs on a copy of this node's disk
  auto known = known_.find(peer);
  if (known == known_.end() || incarnation == known->second) return nullptr;
  if (incarnation.counter < known->second.counter) return "old_incarnation_refused";
  return incarnation.counter == known->second.counter ? "clone_refused" : nullptr;
}

Status PeerIdentities::check(const Uuid& peer, const Incarnation& incarnation) {
  const char* why = refusal(peer, incarnation);
  if (why == nullptr) return {};
  refused_event(why, peer);
  const std::string who = peer == services_.self ? "is that node" : "has heard another process of node " + peer.text();
  return fail(ErrorCode::cloned_identity, "node " + services_.self.text() + " " + who);
}

const char* PeerIdentities::misdirected(const Header& header) const {
  if (!ring_.genesis || header.ring != ring_.genesis->ring) return "foreign_ring_refused";
  if (header.destination != services_.self) return "wrong_identity_refused";
  const bool stranger = header.source != services_.self && ring_.table.find(header.source) == nullptr;
  return stranger ? "stranger_refused" : nullptr;
}

PeerIdentities::Admission PeerIdentities::admit(const Header& header) {
  const char* why = misdirected(header);
  if (why == nullptr) why = refusal(header.source, header.incarnation);
  if (why != nullptr) {
    refused_event(why, header.source);
    return Admission::refused;
  }
  auto known = known_.find(header.source);
  if (known != known_.end() && header.incarnation == known->second) return Admission::admitted;
  const bool first = known == known_.end();
  if (first && known_.size() >= max_known_peers) return Admission::refused;
  known_[header.source] = header.incarnation;
  services_.out.node_write().peer_incarnations.emplace_back(header.source, header.incarnation);
  return first ? Admission::admitted : Admission::restarted;
}

void PeerIdentities::write_again() {
  if (!known_.empty()) services_.out.node_write().peer_incarnations.emplace_back(*known_.begin());
}

}  // namespace ringfs::dht

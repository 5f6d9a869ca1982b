// The network between the nodes of a test: messages arrive at once and in order, unless a test says otherwise.
//
// Threads: none. Errors: none; what may not be delivered is lost.
#pragma once

#include <deque>
#include <functional>
#include <optional>
#include <vector>

#include "dht/core/protocol/messages.hpp"
#include "tests/unit/core/raft/small_ring.hpp"

namespace ringfs::dht::test {

class Network {
 public:
  using Filter = std::function<bool(const Envelope&)>;

  Filter deliver = everything;  // whether a message that is under way arrives
  std::function<void(const Envelope&, bool arrives)> watch;
  bool record = false;              // remember what arrived
  std::vector<Envelope> delivered;  // while `record` is set

  void send(Envelope envelope) { under_way_.push_back(std::move(envelope)); }
  bool empty() const { return under_way_.empty(); }
  const std::deque<Envelope>& under_way() const { return under_way_; }
  bool arrives(const Envelope& envelope) {
    const bool yes = deliver(envelope);
    if (watch) watch(envelope, yes);
    return yes;
  }
  // All messages that are under way are lost.
  void clear() { under_way_.clear(); }
  // The oldest message that `wanted` wants, whether it will be delivered or not.
  std::optional<Envelope> next(const Filter& wanted = everything) {
    auto found = std::find_if(under_way_.begin(), under_way_.end(), wanted);
    if (found == under_way_.end()) return std::nullopt;
    Envelope envelope = std::move(*found);
    under_way_.erase(found);
    return envelope;
  }
  // The messages of type M to `to` that are under way, taken out.
  template <class M>
  std::vector<M> taken(unsigned to) {
    std::vector<M> found;
    while (std::optional<Envelope> one = next([&](const Envelope& envelope) {
             return std::holds_alternative<M>(envelope.message) && number_of(envelope.header.destination) == to;
           })) {
      found.push_back(std::get<M>(std::move(one->message)));
    }
    return found;
  }

  void isolate(unsigned alone) {
    deliver = [alone](const Envelope& envelope) {
      return number_of(envelope.header.source) != alone && number_of(envelope.header.destination) != alone;
    };
  }
  void heal() { deliver = everything; }

 private:
  static bool everything(const Envelope&) { return true; }

  std::deque<Envelope> under_way_;
};

}  // namespace ringfs::dht::test

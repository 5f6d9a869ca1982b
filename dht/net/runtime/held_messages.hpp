// Messages that may leave only when writes are durable: points 2 and 3 of dht/core/protocol/effects.hpp.
//
// The driver and the simulator both hold messages back with it. Threads: none. Errors: writes that are not taken, or
// do not become durable, in the order of their ids abort. Limits: the core's.
#pragma once

#include <deque>
#include <vector>

#include "dht/core/protocol/effects.hpp"

namespace ringfs::dht {

class HeldMessages {
 public:
  // The write is under way from now on.
  void taken(EffectId write);
  EffectId last_taken() const { return taken_; }  // 0: none
  // Messages of the same Effects as the last write taken, or of later ones. Those that may leave at once.
  std::vector<Envelope> after_write(std::vector<Envelope> messages);
  // The write is durable: what may leave now, in order.
  std::vector<Envelope> durable(EffectId write);
  // Nothing leaves any more.
  void clear() { held_.clear(); }

 private:
  struct Held {
    EffectId write = 0;  // durable first
    std::vector<Envelope> messages;
  };
  std::deque<Held> held_;
  EffectId taken_ = 0;
  EffectId durable_ = 0;
};

}  // namespace ringfs::dht

// Which finger is looked up next, and what an answer says of those behind it.
#include "dht/core/chord/fingers.hpp"

#include <algorithm>
#include <utility>

namespace ringfs::dht {

namespace {

constexpr unsigned finger_pause = 4;  // intervals for one look-up when nothing changes

}  // namespace

void ChordFingers::start() {
  std::fill(pointers_.fingers.begin(), pointers_.fingers.end(), std::nullopt);
  finger_ = 0;
  complete_ = false;
  fix_next();
}

void ChordFingers::take_complete() {
  lookup_.drop();
  finger_ = 0;
  complete_ = true;
}

void ChordFingers::interval(bool changed) {
  if (changed) {
    settled_ = false;
    round_changed_ = true;
  }
  pauses_ = settled_ ? (pauses_ + 1) % finger_pause : 0;
  if (!lookup_.open() && pauses_ == 0) fix_next();
}

bool ChordFingers::answered(const ChordFound& found) {
  if (std::optional<ChordPeer> peer = lookup_.follow(context_, found)) return set(*peer);
  if (!lookup_.open()) ++finger_;  // failed: the others must not wait for this one
  return false;
}

void ChordFingers::expire() {
  if (lookup_.expire(context_)) ++finger_;
}

// The next finger that is not the successor and not the same as the one before it.
void ChordFingers::fix_next() {
  const unsigned first = first_useful_finger(token_, pointers_.successors);
  if (first >= fingers_per_token) {
    complete_ = true;
    return;
  }
  if (finger_ < first || finger_ >= fingers_per_token) {
    finger_ = first;
    std::fill_n(pointers_.fingers.begin(), first, std::nullopt);
  }
  lookup_.begin(context_, plus_power_of_two(token_, finger_), context_.self);
}

bool ChordFingers::set(const ChordPeer& peer) {
  const Position start = plus_power_of_two(token_, finger_);
  bool changed = false;
  // This finger, and all that begin between its start and the peer.
  do {
    if (pointers_.fingers[finger_] != peer) {
      pointers_.fingers[finger_] = peer;
      changed = true;
    }
    ++finger_;
  } while (finger_ < fingers_per_token &&
           (peer.token == token_ ||
            (peer.token != start && in_half_open_arc(start, plus_power_of_two(token_, finger_), peer.token))));
  if (finger_ >= fingers_per_token) {
    complete_ = true;
    settled_ = !std::exchange(round_changed_, false);
  } else if (!complete_) {
    fix_next();
  }
  return changed;
}

}  // namespace ringfs::dht

// The fingers of one token and how they are kept right: one look-up an interval (SIGCOMM paper, section 4.4,
// fix_fingers).
//
// The first time around one look-up follows the other. After a round in which nothing changed there are fewer of them,
// for a wrong finger costs a hop, never a wrong answer. Threads: none. Limits: fingers_per_token; one look-up at a
// time.
#pragma once

#include "dht/core/chord/lookup.hpp"

namespace ringfs::dht {

class ChordFingers {
 public:
  ChordFingers(ChordContext& context, const Position& token, ChordPointers& pointers)
      : context_(context), token_(token), pointers_(pointers) {}

  // The token has joined: none is known.
  void start();
  // The table gave all of them.
  void take_complete();
  // Once a stabilization; `changed`: something did since the last one.
  void interval(bool changed);

  bool awaits(const Uuid& source, const ChordFound& found) const { return lookup_.awaits(source, found); }
  // True: a finger changed.
  bool answered(const ChordFound& found);
  void expire();
  TimePoint deadline() const { return lookup_.deadline(); }

 private:
  void fix_next();
  bool set(const ChordPeer& peer);

  ChordContext& context_;
  const Position token_;
  ChordPointers& pointers_;
  ChordLookup lookup_;
  unsigned finger_ = 0;         // the one that lookup_ is for, or the next one
  bool complete_ = false;       // once around since the start: from now on one look-up an interval
  bool round_changed_ = false;  // something did since the last time around
  bool settled_ = false;        // nothing did: fewer look-ups
  unsigned pauses_ = 0;         // intervals without a look-up, since then
};

}  // namespace ringfs::dht

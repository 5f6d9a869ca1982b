// The moving parts of Chord: who is asked what, until when, and what becomes of the answers. The files behind it:
// chord.cpp (entry points, timers, dispatch), start.cpp (join, fall-back to the table), stabilize.cpp
// (stabilize, rectify), lookups.cpp (iterative lookups: join, fingers, merge).
//
// A message to a token of this node itself goes through local_ and is handled before the entry point returns.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <utility>
#include <variant>
#include <vector>

#include "dht/core/chord/chord.hpp"
#include "dht/core/chord/peers.hpp"
#include "dht/core/chord/pointers.hpp"

namespace ringfs::dht {

class Chord::Implementation {
 public:
  Implementation(ChordOptions options, Random& random, TimePoint now);

  void set_table(std::shared_ptr<const MembersTable> table, TimePoint now);
  void receive(const Uuid& source, const ChordMessage& message, TimePoint now);
  void tick(TimePoint now);
  TimePoint deadline() const;
  void peer_failed(const Uuid& node, TimePoint now);
  void peer_heard(const Uuid& node);
  Step find(const Position& position) const { return route(position, self_, pointers_, peers_); }
  std::vector<std::pair<Uuid, ChordMessage>> take_messages() { return std::exchange(messages_, {}); }
  const std::map<Position, Pointers>& pointers() const { return pointers_; }

 private:
  // A question to another token about its neighbours, and why it is asked.
  struct Ask {
    enum class Why { successor, closer, join, predecessor };
    std::uint64_t request = 0;
    Why why{};
    ChordPeer peer;
    TimePoint sent;
    TimePoint deadline;
  };

  struct Lookup {
    std::uint64_t request = 0;
    Position position;
    Uuid asked;
    unsigned hops = 0;
    TimePoint sent;
    TimePoint deadline;
  };

  // What a virtual node is busy with; its pointers are in pointers_ under the same token.
  struct Token {
    TimePoint next_stabilize{};
    Duration interval{};
    bool changed = false;            // since the last stabilize: keep a short interval
    std::optional<Ask> stabilizing;  // also the last step of joining
    std::optional<Ask> checking;     // is the predecessor alive? A candidate waits
    std::optional<ChordPeer> candidate;
    std::optional<Lookup> joining;
    std::optional<Lookup> fixing;
    std::optional<Lookup> merging;
    unsigned finger = 0;            // the one that `fixing` is for, or the next one
    bool fingers_complete = false;  // once around since the start: from now on one lookup an interval
    bool round_changed = false;     // something did since the last time around
    bool fingers_settled = false;   // nothing did: fewer lookups
    unsigned pauses = 0;            // stabilizations without a lookup, since then
    TimePoint join_until{};         // not in the ring by then: pointers from the table
    TimePoint next_join{};
  };

  // Looking for a remembered node that answers as a ring member.
  struct Probe {
    Uuid node;
    TimePoint sent;
    TimePoint deadline;
  };

  enum class Phase { idle, probing, running };

  // chord.cpp
  Duration timeout() const { return options_.timing.stabilize / 2; }
  void send(const Uuid& node, ChordMessage message);
  void handle_local();
  void handle(const Uuid& source, const ChordMessage& message);
  void on(const Uuid& source, const ChordNeighboursRequest& request);
  void on(const Uuid& source, const ChordNeighbours& reply);
  void on(const Uuid& source, const ChordNotify& notify);
  void on(const Uuid& source, const ChordFind& find);
  void on(const Uuid& source, const ChordFound& found);
  void expire_requests(const Position& token, Token& state);
  void hurry();  // something about the ring changed: back to the short interval
  void hurry(Token& state, Duration delay);
  Duration jittered(Duration duration);
  void note_silence(const Uuid& node, TimePoint sent);

  // start.cpp
  void take_own_tokens();
  void drop_unknown_peers();
  void start_probing();
  void ask_next_probe();
  void probe_answered(const Uuid& node, bool member);
  void run_probes();
  void start_running();
  void start_join(const Position& token, Token& state, const Position& behind_token);
  void join_found(const Position& token, Token& state, const ChordPeer& successor);
  void joined(const Position& token, Token& state, const ChordPeer& successor, const ChordNeighbours& reply);
  void pointers_from_table(const Position& token, Token& state);
  void pointers_from_ring(const Position& token, Token& state, const std::vector<ChordPeer>& ring);
  void retry_join(Token& state);

  // stabilize.cpp
  void stabilize(const Position& token, Token& state);
  void ask(std::optional<Ask>& slot, Ask::Why why, const ChordPeer& peer);
  void stabilize_answered(const Position& token, Token& state, const Ask& asked, const ChordNeighbours& reply);
  void stabilize_unanswered(const Position& token, Token& state, const Ask& asked);
  void adopt(const Position& token, Token& state, const ChordPeer& head, const std::vector<ChordPeer>& tail);
  void drop_successor(const Position& token, Token& state, const ChordPeer& peer);
  void finish_stabilize(const Position& token, Token& state, const std::optional<ChordPeer>& their_predecessor);
  void rectify(const Position& token, Token& state, const ChordPeer& candidate);
  void predecessor_gone(const Position& token, Token& state);
  void set_predecessor(const Position& token, Token& state, const ChordPeer& peer);

  // lookups.cpp
  void begin(std::optional<Lookup>& slot, const Position& position, const Uuid& first);
  // Follows an answer: the successor when it is the last one. Empties the slot when the lookup fails or ends.
  std::optional<ChordPeer> follow(std::optional<Lookup>& slot, const ChordFound& found);
  void fix_next_finger(const Position& token, Token& state);
  void finger_found(const Position& token, Token& state, const ChordPeer& peer);
  void merge();
  void merge_found(const Position& token, Token& state, const ChordPeer& peer);

  const ChordOptions options_;
  const Uuid self_;
  Random& random_;
  TimePoint now_;
  ChordPeers peers_;
  ChordLists lists_;

  Phase phase_ = Phase::idle;
  std::map<Position, Pointers> pointers_;
  std::map<Position, Token> tokens_;  // the same keys
  std::uint64_t next_request_ = 1;
  TimePoint next_merge_{};
  bool revived_ = false;  // peer_heard() has no time: the next tick hurries

  std::map<std::uint64_t, Probe> probes_;
  std::vector<Uuid> probe_candidates_;  // still to be asked, the next one last
  std::vector<Uuid> entries_;           // nodes that answered as ring members while this one was starting
  TimePoint probing_until_{};

  std::deque<ChordMessage> local_;
  std::vector<std::pair<Uuid, ChordMessage>> messages_;
};

}  // namespace ringfs::dht

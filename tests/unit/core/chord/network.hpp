// Many Chord objects in virtual time, what an ideal ring of them looks like, and how far they are from it.
//
// Messages take up to 20 ms, by a seed, and get lost at random or across a split. Threads: none.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <vector>

#include "dht/core/chord/chord.hpp"
#include "dht/core/members/placement.hpp"

namespace ringfs::dht {

class ChordNetwork {
 public:
  explicit ChordNetwork(std::uint64_t seed, unsigned replication = 3) : random_(seed), replication_(replication) {
    table_.settings["replication"] = std::to_string(replication);
  }

  // A row of the table. publish() gives the table to the running nodes; start() starts the node's process.
  Uuid add_row(unsigned tokens = 8);
  void add_row(const Uuid& node, std::vector<Position> tokens);
  void add_first_rows(std::size_t nodes, unsigned tokens = 8);
  void remove_row(const Uuid& node);
  void publish();  // the current table reaches every running node
  void start(const Uuid& node);
  void crash(const Uuid& node) { nodes_.erase(node); }
  void run(Duration duration);

  bool running(const Uuid& node) const { return nodes_.contains(node); }
  Chord& chord(const Uuid& node) { return *nodes_.at(node)->chord; }
  std::vector<Uuid> running_nodes() const;
  const MembersTable& table() const { return table_; }
  SeededRandom& random() { return random_; }
  TimePoint now() const { return now_; }
  std::size_t messages_sent() const { return messages_sent_; }
  // Only nodes of one group hear each other; empty: all do.
  void split(std::map<Uuid, int> groups) { groups_ = std::move(groups); }
  double loss = 0;
  // For whoever watches: each message when it arrives or is lost, and each node that may have changed.
  std::function<void(const Uuid& source, const Uuid& destination, const ChordMessage&, bool arrives)> watch_message;
  std::function<void(const Uuid& node)> watch_node;

  // All tokens of running nodes, ascending.
  std::vector<ChordPeer> live_ring() const;
  // The first difference from the ideal ring of the running nodes (of `group`); empty: there is none. Without
  // `everything`: only predecessors, and successor lists as far as they must name other nodes.
  std::string difference_from_ideal(bool everything, std::optional<int> group = {}) const;
  // Zave: every member has a live successor in its list.
  std::string missing_live_successor() const;
  // An iterative lookup from `first`: the final answer and how many nodes were asked.
  std::optional<std::pair<ChordPeer, unsigned>> lookup(const Uuid& first, const Position& position);

 private:
  struct Running {
    std::unique_ptr<SeededRandom> random;
    std::unique_ptr<Chord> chord;
  };
  struct InFlight {
    Uuid source;
    Uuid destination;
    ChordMessage message;
  };

  bool connected(const Uuid& a, const Uuid& b) const;
  bool is_member(const ChordPeer& peer) const;
  void collect(const Uuid& node);

  SeededRandom random_;
  unsigned replication_;
  MembersTable table_;
  std::map<Uuid, std::unique_ptr<Running>> nodes_;
  std::multimap<TimePoint, InFlight> in_flight_;
  std::map<Uuid, int> groups_;
  TimePoint now_{};
  std::size_t messages_sent_ = 0;
};

inline constexpr unsigned test_partition_bits = 8;

}  // namespace ringfs::dht

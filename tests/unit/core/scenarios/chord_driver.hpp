// Carries out the commands of Chord scenarios: a ring of nodes with one token each, on a circle of 64 positions as in
// the figures of the Chord paper (m = 6). N8 is the node at position 8, K54 a key at position 54.
//
// Messages take a few milliseconds, by a fixed seed. The commands are in the table at the end of chord_driver.cpp.
#pragma once

#include <map>
#include <memory>
#include <set>

#include "tests/unit/core/chord/network.hpp"
#include "tests/unit/core/scenarios/scenario.hpp"

namespace ringfs::dht::test {

class ChordDriver : public ScenarioDriver {
 public:
  std::vector<std::string> execute(const Words& command) override;
  std::string broken() const override { return broken_; }

 private:
  using Handler = void (ChordDriver::*)(Arguments&);
  static const std::map<std::string, Handler>& handlers();

  struct Seen {
    bool member = false;
    std::string predecessor = "none", successors = "none";
  };

  void ring(Arguments& arguments);
  void join(Arguments& arguments);
  void start(Arguments& arguments);
  void crash(Arguments& arguments);
  void remove(Arguments& arguments);
  void disconnect(Arguments& arguments);
  void hear(Arguments& arguments);
  void split(Arguments& arguments);
  void heal(Arguments& arguments);
  void run(Arguments& arguments);
  void run_until_ideal(Duration step);
  void lookup(Arguments& arguments);
  void pointers(Arguments& arguments);
  void fingers(Arguments& arguments);
  void show(Arguments& arguments);
  void hide(Arguments& arguments);

  void show_fingers(unsigned number);
  unsigned node(Arguments& arguments) const;     // with a row
  unsigned running(Arguments& arguments) const;  // with a process
  const Chord::Pointers& pointers_of(unsigned number) const;
  void add_row(unsigned number);
  void message(const Uuid& source, const Uuid& destination, const ChordMessage& message, bool arrives);
  void look(unsigned number);
  std::string describe(const ChordMessage& message) const;
  std::string difference() const;  // from an ideal ring, or from two; empty: none

  std::unique_ptr<ChordNetwork> network_;
  std::set<unsigned> numbers_;
  std::set<int> sides_;  // of a split; empty: none
  std::map<unsigned, Seen> seen_;
  std::set<std::string> shown_kinds_;
  std::set<unsigned> shown_nodes_;  // empty: all
  std::vector<std::string> lines_;
  bool too_many_died_ = false;
  std::string broken_;
};

}  // namespace ringfs::dht::test

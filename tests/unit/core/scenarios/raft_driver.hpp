// Carries out the commands of Raft and membership scenarios on one partition of a ring of a few nodes.
//
// Nothing happens by itself: a message arrives when a command delivers it, time passes when a command says so. The
// commands are in the table at the end of raft_driver.cpp.
#pragma once

#include <memory>

#include "tests/unit/core/scenarios/raft_properties.hpp"
#include "tests/unit/core/scenarios/raft_trace.hpp"
#include "tests/unit/core/scenarios/scenario.hpp"

namespace ringfs::dht::test {

class RaftDriver : public ScenarioDriver {
 public:
  std::vector<std::string> execute(const Words& command) override;
  std::string broken() const override { return properties_ ? properties_->broken() : ""; }
  bool must_break() const override { return must_break_; }

 private:
  using Handler = void (RaftDriver::*)(Arguments&);
  static const std::map<std::string, Handler>& handlers();

  // What messages are meant: of a kind, from a node, to a node; what is not said is any.
  struct Pattern {
    std::string kind;
    std::optional<unsigned> from, to;
    bool matches(const Envelope& envelope, PartitionId partition) const;
  };
  struct RingShape {
    unsigned nodes = 0;
    unsigned replication = 0;
    PartitionId partition{};  // the one that is shown
  };
  struct Asked {
    unsigned machine = 0;
    std::string text;
    std::string key;
    std::uint64_t acknowledged = 0;  // of this key, when it was asked
  };

  void ring(Arguments& arguments);
  void timeout(Arguments& arguments);
  void deliver(Arguments& arguments);
  void drop(Arguments& arguments);
  void lose(Arguments& arguments);
  void cut(Arguments& arguments);
  void heal(Arguments& arguments);
  void wait(Arguments& arguments);
  void tick(Arguments& arguments);
  void run(Arguments& arguments);
  void freeze(Arguments& arguments);
  void crash(Arguments& arguments);
  void disconnect(Arguments& arguments);
  void start(Arguments& arguments);
  void put(Arguments& arguments);
  void get(Arguments& arguments);
  void hold(Arguments& arguments);
  void release(Arguments& arguments);
  void join(Arguments& arguments);
  void set_state(Arguments& arguments);
  void set(Arguments& arguments);
  void logs(Arguments& arguments);
  void status(Arguments& arguments);
  void show(Arguments& arguments);
  void quiet(Arguments& arguments);

  void make_ring(const RingShape& shape, const NodeOptions& options);
  void watch_events(unsigned machine);
  std::string key_of(const std::string& word) const;
  void watch(unsigned machine);
  void look_at_all();
  void tell_answers();
  std::function<bool()> condition(Arguments& arguments);
  void ask(unsigned machine, Operation operation, const std::string& text, const std::string& key);
  std::string text_of(const OperationResult& result) const;
  Pattern pattern(Arguments& arguments) const;
  unsigned node(Arguments& arguments) const;
  unsigned running(Arguments& arguments) const;
  Machine& machine(unsigned number) { return cluster_->machines[number]; }

  PartitionId partition_{};
  std::unique_ptr<Cluster> cluster_;
  std::unique_ptr<RaftTrace> trace_;
  std::unique_ptr<RaftProperties> properties_;
  std::vector<Pattern> lost_;
  std::map<unsigned, unsigned> side_;                            // of a cut; empty: none
  std::map<std::pair<unsigned, std::string>, unsigned> events_;  // how many of each name, of the partition and of nodes
  std::map<OperationId, Asked> asked_;
  std::map<std::string, std::uint64_t> acknowledged_;  // the newest acknowledged version of each key
  bool must_break_ = false;
};

}  // namespace ringfs::dht::test

// One node of a test with its disk: what Effects demand of a driver, in the order of dht/core/protocol/effects.hpp.
//
// The disk works at once unless `hold_disk` is set; then writes and applies queue up, with the messages that must wait
// for them. Threads: none.
#pragma once

#include <gtest/gtest.h>

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "dht/base/random.hpp"
#include "dht/core/node/node.hpp"
#include "tests/unit/core/raft/memory_store.hpp"
#include "tests/unit/core/raft/network.hpp"

namespace ringfs::dht::test {

class Machine {
 public:
  struct Task {
    std::optional<Write> write;
    std::optional<Apply> apply;
    std::vector<Envelope> after;
  };

  Machine(unsigned number, NodeOptions node_options)
      : random(std::make_unique<SeededRandom>(number + 1)), options(std::move(node_options)) {
    store.id = node_id(number);
  }

  MemoryStore store;
  std::unique_ptr<SeededRandom> random;
  std::unique_ptr<Node> node;  // null: crashed
  std::deque<Task> disk;
  bool hold_disk = false;
  bool hold_reads = false;
  bool frozen = false;  // gets no time; messages still arrive unless the network loses them
  Duration wall_error{0};
  std::deque<ReadEffect> held_reads;
  TimePoint deadline = never;
  NodeOptions options;
  std::map<OperationId, OperationResult> replies;
  std::vector<Recall> recalls;
  std::map<std::string, unsigned> events;           // how many of each name
  std::function<void(const Event&)> on_event = {};  // who else wants to know of them

  Clock clock(const Clock& all) const { return {all.now, all.stamp + wall_error}; }

  void start(std::uint64_t nonce, const Clock& all) {
    node = std::make_unique<Node>(options, store.start(nonce), *random, clock(all));
  }
  // What is not on the disk is gone.
  void crash() {
    node.reset();
    disk.clear();
    held_reads.clear();
    hold_disk = false;
    frozen = false;
    deadline = never;
  }

  // Effects of the node, then everything that its disk may do.
  void pump(Network& network, const Clock& all) {
    for (;;) {
      take(network, all);
      if (!hold_disk && !disk.empty()) {
        disk_step(network, all);
      } else if (!hold_reads && !held_reads.empty()) {
        ReadEffect read = std::move(held_reads.front());
        held_reads.pop_front();
        node->read_done(read.id, store.read(read), clock(all));
      } else {
        return;
      }
    }
  }

  // The disk carries out its oldest task.
  void disk_step(Network& network, const Clock& all) {
    Task task = std::move(disk.front());
    disk.pop_front();
    if (task.write) {
      store.write(*task.write);
      for (Envelope& envelope : task.after) network.send(std::move(envelope));
      node->written(task.write->id, clock(all));
    } else if (store.unreadable_rows.contains(task.apply->partition)) {
      node->apply_failed(task.apply->partition, task.apply->through, Damage::rows, clock(all));
    } else {
      node->applied(task.apply->partition, task.apply->through, store.apply(*task.apply), clock(all));
    }
  }

 private:
  void take(Network& network, const Clock& all) {
    Effects effects = node->take_effects();
    for (Envelope& one : effects.messages) network.send(std::move(one));
    take_writes(effects, network);
    for (const Apply& apply : effects.applies) disk.push_back({std::nullopt, apply, {}});
    for (ReadEffect& read : effects.reads) held_reads.push_back(std::move(read));
    for (const LoadEntries& load : effects.loads) node->loaded(load.id, store.load(load), clock(all));
    for (const SnapshotRead& read : effects.snapshot_reads) {
      Result<SnapshotData> data = store.snapshot_read(read);
      if (!read.close) node->snapshot_read(read.id, std::move(data), clock(all));
    }
    recalls.insert(recalls.end(), effects.recalls.begin(), effects.recalls.end());
    for (Reply& one : effects.replies) replies.insert_or_assign(one.operation, std::move(one.result));
    for (const Event& event : effects.events) {
      ++events[event.name];
      if (on_event) on_event(event);
    }
    deadline = effects.deadline;
    if (!effects.loads.empty() || !effects.snapshot_reads.empty()) take(network, all);
  }

  void take_writes(Effects& effects, Network& network) {
    if (effects.write.id != 0) {
      ASSERT_FALSE(effects.write.empty());
      disk.push_back({std::move(effects.write), std::nullopt, std::move(effects.messages_after_write)});
      return;
    }
    auto behind = std::find_if(disk.rbegin(), disk.rend(), [](const Task& task) { return task.write.has_value(); });
    for (Envelope& one : effects.messages_after_write) {
      if (behind != disk.rend())
        behind->after.push_back(std::move(one));
      else
        network.send(std::move(one));
    }
  }
};

}  // namespace ringfs::dht::test

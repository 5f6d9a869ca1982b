// The effects that the store carries out, its answers to the node, and what it says by itself: damage, room, failure.
//
// Threads: one loop; the store's callbacks come through the inbox. Errors: a write that fails, an apply that fails for
// another reason than damage, or a failure of the store's own work is final: Host::fatal
// (docs/design.md#failed-writes). Damage costs the replica that has it, not the node: the core lets the others serve
// and replaces it (Node::mark_damaged). A full disk is neither (storage.hpp).
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string_view>

#include "dht/core/node/node.hpp"
#include "dht/net/runtime/event_log.hpp"
#include "dht/net/runtime/inbox.hpp"
#include "dht/net/runtime/storage.hpp"

namespace ringfs::dht {

class StorageEffects {
 public:
  class Host {
   public:
    // The node has got something: its effects are to be taken.
    virtual void schedule_turn() = 0;
    // Before the node hears of it.
    virtual void durable(EffectId write) = 0;
    virtual void fatal(std::string_view event, Error error) = 0;

   protected:
    ~Host() = default;
  };

  // `interval`: how often the store is asked about its disk when nothing is written.
  StorageEffects(Storage& storage, Node& node, EventLog& events, std::shared_ptr<Inbox> inbox, Host& host,
                 Duration interval);

  // `damaged`: what the store found when it was opened.
  void start(const std::map<PartitionId, Error>& damaged);
  void stop() { stopped_ = true; }

  void write(Write write);
  // All but messages, writes, events and replies.
  void carry_out(Effects& effects);

  // Whether the store could stage these rows of a snapshot. Errors: corrupt.
  Status check(const SnapshotChunk& chunk) const { return storage_.check(chunk.rows, chunk.blobs); }
  // Asks the store about its disk; again at next_poll().
  void poll(TimePoint now);
  TimePoint next_poll() const { return next_poll_; }
  void happened(const Event& event);
  void fill_in(NodeStatus& status);

 private:
  void apply(const Apply& apply);
  void read(ReadEffect read);
  void load(const LoadEntries& load);
  void snapshot_read(const SnapshotRead& read);
  void look_at_disk();
  void apply_failed(PartitionId partition, LogIndex through, const Error& why);
  void note_damage(PartitionId partition, const Error& why);
  void damage_found(const FoundDamage& found);

  Storage& storage_;
  Node& node_;
  EventLog& events_;
  const std::shared_ptr<Inbox> inbox_;
  Host& host_;
  const Duration interval_;
  TimePoint next_poll_ = never;
  std::set<PartitionId> damaged_;  // those already reported
  Room room_ = Room::ample;
  bool stopped_ = true;
};

}  // namespace ringfs::dht

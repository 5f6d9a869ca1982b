// Drives one Node: feeds it with messages, operations, time and the store's answers, and carries its Effects out in the
// order that effects.hpp demands.
//
// All inputs of one turn of the loop are given to the node before its effects are taken once, so that what arrives
// together is written together (group commit); the write in progress gathers the next batch.
// Threads: one loop; the store's callbacks come from its threads and are handed over in batches, one wake-up for many.
// Errors: a write that fails, or an apply for another reason than damage, is final: on_fatal is called once and nothing
// is carried out any more (docs/design.md#failed-writes). A full disk is none of these (storage.hpp). Damage (corrupt)
// costs the replica that has it, not the node: the core lets the others serve and replaces it
// (Node::mark_damaged). Limits: the core's; connections to peers as in peer.hpp. The storage must outlive the
// driver or have called back everything; callbacks that come after the driver's end are dropped.
#pragma once

#include <boost/asio/io_context.hpp>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string_view>
#include <unordered_map>

#include "dht/core/node/node.hpp"
#include "dht/net/runtime/event_journal.hpp"
#include "dht/net/runtime/storage.hpp"
#include "dht/net/transport/peer.hpp"
#include "dht/net/transport/wake_timer.hpp"

namespace ringfs::dht {

struct DriverOptions {
  NodeOptions node;
  PeerLimits peers;
  StreamMaker make_stream = make_tcp_stream;
  Duration status_interval = std::chrono::seconds(1);  // how often the store is asked about its disk when idle
  std::map<PartitionId, Error> damaged;  // what the store found when it was opened; `persisted` says so, too
};

class Driver : public Peers::Listener {
 public:
  using ReplyHandler = std::function<void(OperationResult)>;

  Driver(boost::asio::io_context& loop, Storage& storage, PersistedNode persisted, Random& random,
         DriverOptions options, std::function<void(Error)> on_fatal);
  ~Driver();
  Driver(const Driver&) = delete;
  Driver& operator=(const Driver&) = delete;

  void start();
  void stop();  // takes nothing in and carries nothing out any more; handlers of open operations are dropped

  // `handler` is called once from the loop, never from inside submit(), unless cancel() or stop() came first.
  OperationId submit(Operation operation, ReplyHandler handler);
  void cancel(OperationId id);
  std::size_t open_operations() const { return handlers_.size(); }

  void receive(const Envelope& envelope);
  // A peer's connection to this node was made or broke.
  void peer_connected(const Uuid& peer, const std::string& address);
  void peer_disconnected(const Uuid& peer);

  Node& node() { return node_; }
  NodeStatus status();
  Flusher& flusher() { return flusher_; }
  const Peers::Counters& peer_counters() const { return peers_.counters(); }
  Handshake own_handshake(const Uuid& expected) override;
  Status check_peer(const Handshake& handshake) override;
  // Enough of the others have taken this process for the node that it says it is: it may say where it is to be found.
  bool accepted() const;

 private:
  struct Inbox;

  std::string address_of(const Uuid& peer) override;
  void peer_lost(const Uuid& peer) override;
  void peer_accepted(const Uuid& peer) override { accepted_by_.insert(peer); }
  void identity_refused(const Uuid& peer, const Error& why) override;

  void schedule_turn();
  void turn();
  void carry_out(Effects effects);
  void send(const std::vector<Envelope>& messages);
  void send_after_write(std::vector<Envelope> messages);
  void release_held();
  void write(Write write);
  void apply(Apply apply);
  void reply(Reply reply);
  void log(const Event& event);
  // Something about this node's disk or data that whoever watches the ring wants to know.
  void trouble(std::string name, std::string detail);
  void timer_due();
  void poll_storage(TimePoint now);
  void look_at_storage();
  void read(ReadEffect read);
  void apply_failed(PartitionId partition, LogIndex through, const Error& why);
  void note_damage(PartitionId partition, const Error& why);
  void damage_found(const FoundDamage& found);
  void fill_in(NodeStatus& status);
  void fatal(std::string_view event, Error error);
  // Wraps what to do with a store's answer, so that it runs on the loop.
  template <class Answer>
  std::function<void(Answer)> on_loop(std::function<void(Answer)> action);

  boost::asio::io_context& loop_;
  Storage& storage_;
  DriverOptions options_;
  std::function<void(Error)> on_fatal_;
  Incarnation incarnation_;
  EventJournal journal_;
  Node node_;
  Flusher flusher_;
  Peers peers_;
  WakeTimer timer_;
  std::shared_ptr<Inbox> inbox_;  // shared with callbacks that are still in the store

  struct Held {
    EffectId write = 0;  // durable first
    std::vector<Envelope> messages;
  };
  std::deque<Held> held_;
  EffectId last_write_ = 0;     // taken
  EffectId durable_write_ = 0;  // reported

  std::unordered_map<OperationId, ReplyHandler> handlers_;
  OperationId next_operation_ = 1;
  TimePoint deadline_ = never;
  TimePoint next_poll_ = never;
  std::set<PartitionId> damaged_;  // of which it was said
  std::set<Uuid> accepted_by_;
  Room room_ = Room::ample;
  bool turn_scheduled_ = false;
  bool stopped_ = true;
};

}  // namespace ringfs::dht

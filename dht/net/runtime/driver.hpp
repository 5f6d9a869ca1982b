// Drives one Node: feeds it with messages, operations, time and the store's answers, and carries its Effects out in the
// order that effects.hpp demands.
//
// All inputs of one turn of the loop are given to the node before its effects are taken once, so that what arrives
// together is written together (group commit); the write in progress gathers the next batch.
//   driver.cpp           turns, messages, operations
//   storage_effects.cpp  what the store is asked, its answers, damage and room
//   held_messages.cpp    messages that wait for a write
//   event_log.cpp        what is logged and remembered of events
//
// Threads: one loop; the store's callbacks come from its threads and are handed over in batches, one wake-up for many
// (inbox.hpp). Errors: what storage_effects.hpp calls final: on_fatal is called once and nothing is carried out any
// more. Limits: the core's; connections to peers as in peer.hpp. The storage must outlive the driver or have called
// back everything; callbacks that come after the driver's end are dropped.
#pragma once

#include <boost/asio/io_context.hpp>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string_view>
#include <unordered_map>

#include "dht/core/node/node.hpp"
#include "dht/net/runtime/event_log.hpp"
#include "dht/net/runtime/held_messages.hpp"
#include "dht/net/runtime/inbox.hpp"
#include "dht/net/runtime/storage.hpp"
#include "dht/net/runtime/storage_effects.hpp"
#include "dht/net/transport/peer.hpp"
#include "dht/net/transport/wake_timer.hpp"

namespace ringfs::dht {

struct DriverOptions {
  NodeOptions node;
  PeerLimits peers;
  StreamMaker make_stream = make_plain_stream;
  Duration status_interval = std::chrono::seconds(1);  // how often the store is asked about its disk when idle
  std::map<PartitionId, Error> damaged;  // what the store found when it was opened; `persisted` says so, too
};

class Driver : private Peers::Listener, private StorageEffects::Host {
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
  // `handler` gets what leaders here want back from clients, from the loop.
  void on_recall(std::function<void(const Recall&)> handler) { recall_ = std::move(handler); }
  void released(const Release& release);
  std::size_t open_operations() const { return handlers_.size(); }

  void receive(const Envelope& envelope);
  // A peer's connection to this node was made or broke.
  void peer_connected(const Uuid& peer, const std::string& address);
  void peer_disconnected(const Uuid& peer);

  Node& node() { return node_; }
  NodeStatus status();
  // A sentence for whoever runs the node, in its status beside that of the storage; empty: none.
  void set_note(std::string note) { note_ = std::move(note); }
  Flusher& flusher() { return flusher_; }
  const Peers::Counters& peer_counters() const { return peers_.counters(); }
  Handshake own_handshake(const Uuid& expected) override;
  Status check_peer(const Handshake& handshake) override;
  // Where this node says it is reached, from its next connections on.
  void set_address(std::string address) { options_.node.address = std::move(address); }
  // A majority, with this node, has accepted this process under its identity: it may announce its address.
  bool accepted() const;

 private:
  std::string address_of(const Uuid& peer) override;
  void peer_lost(const Uuid& peer) override { peer_disconnected(peer); }
  void peer_accepted(const Uuid& peer) override { accepted_by_.insert(peer); }
  void identity_refused(const Uuid& peer, const Error& why) override;
  void durable(EffectId write) override { send(held_.durable(write)); }
  void schedule_turn() override;
  void fatal(std::string_view event, Error error) override;

  void turn();
  void carry_out(Effects effects);
  void send(const std::vector<Envelope>& messages);
  void reply(Reply reply);
  void fill_in(NodeStatus& status);
  void timer_due();

  DriverOptions options_;
  std::function<void(Error)> on_fatal_;
  const Incarnation incarnation_;
  EventLog events_;
  Node node_;
  Flusher flusher_;
  Peers peers_;
  WakeTimer timer_;
  std::shared_ptr<Inbox> inbox_;
  StorageEffects storage_;
  HeldMessages held_;

  std::unordered_map<OperationId, ReplyHandler> handlers_;
  std::function<void(const Recall&)> recall_;
  OperationId next_operation_ = 1;
  TimePoint deadline_ = never;
  std::set<Uuid> accepted_by_;
  std::string note_;
  bool turn_scheduled_ = false;
  bool stopped_ = true;
};

}  // namespace ringfs::dht

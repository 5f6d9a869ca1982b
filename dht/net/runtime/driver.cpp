// Turns of the loop: inputs to the node, effects out.
#include "dht/net/runtime/driver.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <string_view>

#include "dht/net/transport/system_clock.hpp"

namespace ringfs::dht {

Driver::Driver(boost::asio::io_context& loop, Storage& storage, PersistedNode persisted, Random& random,
               DriverOptions options, std::function<void(Error)> on_fatal)
    : options_(std::move(options)),
      on_fatal_(std::move(on_fatal)),
      incarnation_(persisted.incarnation),
      events_(incarnation_.counter, [this] { return node_.ring_time(boot_time()); }),
      node_(options_.node, std::move(persisted), random, read_clock()),
      flusher_(loop.get_executor()),
      peers_(loop.get_executor(), *this, flusher_, random, options_.peers, options_.make_stream),
      timer_(loop.get_executor(), [this] { timer_due(); }),
      inbox_(std::make_shared<Inbox>(loop)),
      storage_(storage, node_, events_, inbox_, *this, options_.status_interval) {}

Driver::~Driver() { stop(); }

void Driver::start() {
  stopped_ = false;
  events_.add({"started", fmt::format("incarnation={} address={}", incarnation_.counter, options_.node.address)});
  storage_.start(options_.damaged);
  if (stopped_) return;
  timer_.wake_at(storage_.next_poll());
  schedule_turn();
}

void Driver::stop() {
  stopped_ = true;
  storage_.stop();
  inbox_->close();
  timer_.stop();
  peers_.stop();
  handlers_.clear();
}

// ---- Inputs ----------------------------------------------------------------------------------------

OperationId Driver::submit(Operation operation, ReplyHandler handler) {
  OperationId id = next_operation_++;
  if (stopped_) return id;
  if (const auto* asked = std::get_if<StatusOperation>(&operation); asked != nullptr && asked->events_after) {
    handler = [this, after = *asked->events_after, handler = std::move(handler)](OperationResult result) {
      auto* status = result ? std::get_if<NodeStatus>(&*result) : nullptr;
      if (status != nullptr) status->events = events_.journal().after(after);
      handler(std::move(result));
    };
  }
  handlers_.emplace(id, std::move(handler));
  node_.submit(id, std::move(operation), read_clock());
  schedule_turn();
  return id;
}

void Driver::cancel(OperationId id) {
  if (handlers_.erase(id) == 0 || stopped_) return;
  node_.cancel(id);
  schedule_turn();
}

void Driver::released(const Release& release) {
  if (stopped_) return;
  node_.released(release, read_clock());
  schedule_turn();
}

void Driver::receive(const Envelope& envelope) {
  if (stopped_) return;
  if (const auto* chunk = std::get_if<SnapshotChunk>(&envelope.message)) {
    // A failed write ends this process, so a peer's bytes are checked before. The sender gives up and starts over.
    if (Status sound = storage_.check(*chunk); !sound) {
      spdlog::warn("event=snapshot_chunk_refused source={} partition={} reason=\"{}\"", envelope.header.source.text(),
                   index_of(chunk->raft.partition), sound.error().text());
      return;
    }
  }
  node_.receive(envelope, read_clock());
  schedule_turn();
}

void Driver::peer_connected(const Uuid& peer, const std::string& address) {
  if (!stopped_) peers_.peer_seen(peer, address);
}

void Driver::peer_disconnected(const Uuid& peer) {
  if (stopped_) return;
  node_.peer_disconnected(peer, read_clock());
  schedule_turn();
}

// Another process has run with this identity since: this one may not remember all votes that were given.
void Driver::identity_refused(const Uuid& peer, const Error& why) {
  if (stopped_ || node_.table().find(peer) == nullptr) return;
  // Not from inside the link that heard it.
  inbox_->post([this, why] { fatal("identity_refused", why); });
}

Status Driver::check_peer(const Handshake& handshake) {
  if (stopped_) return {};
  Status fits = node_.check_peer(handshake.node, handshake.incarnation, read_clock());
  schedule_turn();
  return fits;
}

bool Driver::accepted() const {
  const std::vector<Member>& members = node_.table().members;
  const auto nodes = std::count_if(members.begin(), members.end(),
                                   [](const Member& one) { return one.state != MemberState::removed; });
  return static_cast<std::ptrdiff_t>(accepted_by_.size()) >= nodes / 2;  // a majority with this one
}

std::string Driver::address_of(const Uuid& peer) {
  const Member* member = node_.table().find(peer);
  return member == nullptr ? std::string() : member->address;
}

Handshake Driver::own_handshake(const Uuid& expected) {
  return {.role = PeerRole::node,
          .node = node_.id(),
          .incarnation = incarnation_,
          .ring = node_.genesis() ? node_.genesis()->ring : Uuid{},
          .table_version = node_.table().version,
          .stamp = node_.ring_time(boot_time()),
          .expected = expected,
          .address = options_.node.address};
}

// ---- Turns -----------------------------------------------------------------------------------------

// The turn comes after all handlers that are ready now, so that their inputs go into one take_effects().
void Driver::schedule_turn() {
  if (turn_scheduled_ || stopped_) return;
  turn_scheduled_ = true;
  inbox_->post([this] { turn(); });
}

void Driver::turn() {
  turn_scheduled_ = false;
  TimePoint now = boot_time();
  if (now >= deadline_) {
    deadline_ = never;
    node_.tick(read_clock());
  }
  carry_out(node_.take_effects());
}

void Driver::carry_out(Effects effects) {
  Flusher::Hold hold(flusher_);
  deadline_ = effects.deadline;
  timer_.wake_at(std::min(deadline_, storage_.next_poll()));
  send(effects.messages);
  // A leader's appends leave before its own store begins to sync.
  flusher_.flush();
  if (effects.write.id != 0) {
    held_.taken(effects.write.id);
    storage_.write(std::move(effects.write));
  }
  send(held_.after_write(std::move(effects.messages_after_write)));
  storage_.carry_out(effects);
  for (const Event& event : effects.events) {
    events_.add(event);
    storage_.happened(event);
  }
  for (Reply& item : effects.replies) reply(std::move(item));
  for (const Recall& item : effects.recalls) {
    if (recall_) recall_(item);
  }
}

void Driver::timer_due() {
  if (stopped_) return;
  TimePoint now = boot_time();
  if (now >= storage_.next_poll()) storage_.poll(now);
  if (stopped_) return;
  timer_.wake_at(std::min(deadline_, storage_.next_poll()));
  if (now >= deadline_) schedule_turn();
}

void Driver::send(const std::vector<Envelope>& messages) {
  for (const Envelope& message : messages) {
    if (message.header.destination == node_.id()) {
      inbox_->post([this, own = message] { receive(own); });
    } else {
      peers_.send(message);
    }
  }
}

void Driver::reply(Reply reply) {
  auto found = handlers_.find(reply.operation);
  if (found == handlers_.end()) return;  // cancelled
  ReplyHandler handler = std::move(found->second);
  handlers_.erase(found);
  if (reply.result) {
    if (auto* status = std::get_if<NodeStatus>(&*reply.result)) fill_in(*status);
  }
  handler(std::move(reply.result));
}

NodeStatus Driver::status() {
  NodeStatus status = node_.status(read_clock());
  fill_in(status);
  return status;
}

void Driver::fill_in(NodeStatus& status) {
  storage_.fill_in(status);
  if (note_.empty()) return;
  status.storage_note += status.storage_note.empty() ? note_ : "; " + note_;
}

void Driver::fatal(std::string_view event, Error error) {
  std::function<void(Error)> on_fatal = on_fatal_;
  spdlog::error("event={} reason=\"{}\"", event, error.text());
  // Messages that wait for a write that is not durable are dropped.
  held_.clear();
  stop();
  on_fatal(std::move(error));
}

}  // namespace ringfs::dht

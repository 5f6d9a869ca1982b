#include "dht/net/runtime/driver.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <boost/asio/post.hpp>
#include <mutex>
#include <string_view>

#include "dht/net/transport/system_clock.hpp"

namespace ringfs::dht {

// What the store's threads hand over. The first one that finds it empty wakes the loop, the others join.
struct Driver::Inbox {
  explicit Inbox(boost::asio::io_context& context) : loop(context) {}

  static void put(const std::shared_ptr<Inbox>& inbox, std::function<void()> action) {
    std::lock_guard guard(inbox->mutex);
    if (inbox->closed) return;
    inbox->actions.push_back(std::move(action));
    if (inbox->actions.size() == 1) boost::asio::post(inbox->loop, [inbox] { inbox->drain(); });
  }

  void drain() {
    {
      std::lock_guard guard(mutex);
      std::swap(actions, draining);
    }
    for (std::function<void()>& action : draining) {
      // An action may end the driver; what is left then belongs to nobody.
      if (closed_on_loop) break;
      action();
    }
    draining.clear();
  }

  void close() {
    std::lock_guard guard(mutex);
    closed = true;
    closed_on_loop = true;
    actions.clear();
  }

  boost::asio::io_context& loop;
  std::mutex mutex;
  std::vector<std::function<void()>> actions;   // under mutex
  bool closed = false;                          // under mutex
  std::vector<std::function<void()>> draining;  // the loop's
  bool closed_on_loop = false;                  // the loop's
};

namespace {

// What this replica holds cannot be had from this disk: it is damaged, or reading it fails. Others have it.
bool is_lost_here(const Error& error) { return error.code == ErrorCode::corrupt || error.code == ErrorCode::io_error; }

}  // namespace

Driver::Driver(boost::asio::io_context& loop, Storage& storage, PersistedNode persisted, Random& random,
               DriverOptions options, std::function<void(Error)> on_fatal)
    : loop_(loop),
      storage_(storage),
      options_(std::move(options)),
      on_fatal_(std::move(on_fatal)),
      incarnation_(persisted.incarnation),
      journal_(incarnation_.counter),
      node_(options_.node, std::move(persisted), random, read_clock()),
      flusher_(loop.get_executor()),
      peers_(loop.get_executor(), *this, flusher_, random, options_.peers, options_.make_stream),
      timer_(loop.get_executor(), [this] { timer_due(); }),
      inbox_(std::make_shared<Inbox>(loop)) {}

Driver::~Driver() { stop(); }

void Driver::start() {
  stopped_ = false;
  log({"started", fmt::format("incarnation={} address={}", incarnation_.counter, options_.node.address)});
  for (const auto& [partition, why] : std::exchange(options_.damaged, {})) note_damage(partition, why);
  storage_.watch_damage([inbox = inbox_, this](FoundDamage found) {
    Inbox::put(inbox, [this, found = std::move(found)] { damage_found(found); });
  });
  poll_storage(boot_time());
  schedule_turn();
}

void Driver::stop() {
  stopped_ = true;
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
      if (status != nullptr) status->events = journal_.after(after);
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

void Driver::receive(const Envelope& envelope) {
  if (stopped_) return;
  if (const auto* chunk = std::get_if<SnapshotChunk>(&envelope.message)) {
    // A write that fails ends this node: bytes of a peer are looked at before. The sender gives up and starts over.
    if (Status sound = storage_.check(chunk->rows, chunk->blobs); !sound) {
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

void Driver::peer_lost(const Uuid& peer) { peer_disconnected(peer); }

// Whatever this process holds was overtaken by another one: the votes that it remembers may not be all that were given.
void Driver::identity_refused(const Uuid& peer, const Error& why) {
  if (stopped_ || node_.table().find(peer) == nullptr) return;
  // Not from inside the link that heard it.
  boost::asio::post(loop_, [this, inbox = inbox_, why] {
    if (!inbox->closed_on_loop) fatal("identity_refused", why);
  });
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

void Driver::schedule_turn() {
  if (turn_scheduled_ || stopped_) return;
  turn_scheduled_ = true;
  // Behind everything that is ready now: it all goes into one take_effects(). The inbox outlives the driver and knows.
  boost::asio::post(loop_, [this, inbox = inbox_] {
    if (!inbox->closed_on_loop) turn();
  });
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
  timer_.wake_at(std::min(deadline_, next_poll_));
  send(effects.messages);
  // A leader's appends are on their way before its own store begins to sync.
  flusher_.flush();
  if (effects.write.id != 0) write(std::move(effects.write));
  send_after_write(std::move(effects.messages_after_write));
  for (Apply& item : effects.applies) apply(std::move(item));
  for (ReadEffect& item : effects.reads) read(std::move(item));
  for (LoadEntries& load : effects.loads) {
    EffectId id = load.id;
    PartitionId partition = load.partition;
    storage_.load(std::move(load),
                  on_loop<Result<std::vector<Entry>>>([this, id, partition](Result<std::vector<Entry>> entries) {
                    if (!entries && entries.error().code == ErrorCode::corrupt) note_damage(partition, entries.error());
                    node_.loaded(id, std::move(entries), read_clock());
                    schedule_turn();
                  }));
  }
  for (SnapshotRead& read : effects.snapshot_reads) {
    EffectId id = read.id;
    bool close = read.close;
    PartitionId partition = read.partition;
    storage_.snapshot_read(std::move(read),
                           on_loop<Result<SnapshotData>>([this, id, close, partition](Result<SnapshotData> data) {
                             if (close) return;
                             if (!data && is_lost_here(data.error())) {
                               note_damage(partition, data.error());
                               data = fail(ErrorCode::corrupt, data.error().context);
                             }
                             node_.snapshot_read(id, std::move(data), read_clock());
                             schedule_turn();
                           }));
  }
  for (const Event& event : effects.events) log(event);
  for (Reply& item : effects.replies) reply(std::move(item));
}

void Driver::timer_due() {
  if (stopped_) return;
  TimePoint now = boot_time();
  if (now >= next_poll_) poll_storage(now);
  if (stopped_) return;
  timer_.wake_at(std::min(deadline_, next_poll_));
  if (now >= deadline_) schedule_turn();
}

void Driver::poll_storage(TimePoint now) {
  next_poll_ = now + options_.status_interval;
  timer_.wake_at(next_poll_);
  look_at_storage();
}

void Driver::look_at_storage() {
  StorageStatus status = storage_.status();
  if (status.failure) {
    fatal("storage_failed", *status.failure);
    return;
  }
  if (status.room == room_) return;
  const bool was_ample = std::exchange(room_, status.room) == Room::ample;
  if (was_ample) {
    trouble("disk_full", fmt::format("free_bytes={} database_bytes={}", status.disk_free_bytes, status.database_bytes));
  } else if (room_ == Room::ample) {
    log({"disk_has_space", fmt::format("free_bytes={}", status.disk_free_bytes)});
  }
  node_.set_room(room_, read_clock());
  schedule_turn();
}

// ---- Messages and the order of durability ----------------------------------------------------------

void Driver::send(const std::vector<Envelope>& messages) {
  for (const Envelope& message : messages) {
    if (message.header.destination == node_.id()) {
      boost::asio::post(loop_, [this, inbox = inbox_, own = message] {
        if (!inbox->closed_on_loop) receive(own);
      });
    } else {
      peers_.send(message);
    }
  }
}

void Driver::send_after_write(std::vector<Envelope> messages) {
  if (messages.empty()) return;
  if (durable_write_ == last_write_) {
    send(messages);
  } else {
    held_.push_back({.write = last_write_, .messages = std::move(messages)});
  }
}

void Driver::release_held() {
  while (!held_.empty() && held_.front().write <= durable_write_) {
    Held held = std::move(held_.front());
    held_.pop_front();
    send(held.messages);
  }
}

void Driver::write(Write write) {
  EffectId id = write.id;
  RINGFS_CHECK(id > last_write_);
  last_write_ = id;
  storage_.write(std::move(write), on_loop<Status>([this, id](Status done) {
                   if (!done) {
                     fatal("storage_failed", done.error());
                     return;
                   }
                   RINGFS_CHECK(id > durable_write_);
                   durable_write_ = id;
                   look_at_storage();  // at full speed the reserve lasts for less than the interval
                   if (stopped_) return;
                   release_held();
                   node_.written(id, read_clock());
                   schedule_turn();
                 }));
}

void Driver::apply(Apply apply) {
  PartitionId partition = apply.partition;
  LogIndex through = apply.through;
  storage_.apply(std::move(apply), on_loop<Result<std::vector<AppliedBatch>>>(
                                       [this, partition, through](Result<std::vector<AppliedBatch>> results) {
                                         if (!results && results.error().code == ErrorCode::corrupt) {
                                           apply_failed(partition, through, results.error());
                                           return;
                                         }
                                         if (!results) {
                                           fatal("storage_failed", results.error());
                                           return;
                                         }
                                         node_.applied(partition, through, std::move(*results), read_clock());
                                         schedule_turn();
                                       }));
}

void Driver::read(ReadEffect read) {
  EffectId id = read.id;
  PartitionId partition = read.partition;
  if (std::optional<ReadAnswer> answer = storage_.read_now(read)) {
    node_.read_done(id, std::move(*answer), read_clock());
    schedule_turn();
    return;
  }
  storage_.read(std::move(read), on_loop<Result<ReadAnswer>>([this, id, partition](Result<ReadAnswer> answer) {
                  if (!answer && is_lost_here(answer.error())) {
                    note_damage(partition, answer.error());
                    answer = fail(ErrorCode::corrupt, answer.error().context);  // what the core takes for damage
                  }
                  node_.read_done(id, std::move(answer), read_clock());
                  schedule_turn();
                }));
}

// ---- Damage ----------------------------------------------------------------------------------------

// Which of the two cannot be read, an entry or a row, shows when the entries are asked for.
void Driver::apply_failed(PartitionId partition, LogIndex through, const Error& why) {
  const LogIndex first = node_.applied_index(partition) + 1;
  storage_.load(
      LoadEntries{0, partition, first, through, SIZE_MAX},
      on_loop<Result<std::vector<Entry>>>([this, partition, through, why](Result<std::vector<Entry>> entries) {
        note_damage(partition, why);
        node_.apply_failed(partition, through, entries ? Damage::rows : Damage::log, read_clock());
        schedule_turn();
      }));
}

// What was found, once for each replica: readers may meet the same row again and again.
void Driver::note_damage(PartitionId partition, const Error& why) {
  if (!damaged_.insert(partition).second) return;
  trouble("data_damaged", fmt::format("partition={} reason=\"{}\"", index_of(partition), why.text()));
}

void Driver::damage_found(const FoundDamage& found) {
  note_damage(found.partition, found.why);
  if (found.entry)
    node_.entry_damaged(found.partition, *found.entry, read_clock());
  else
    node_.mark_damaged(found.partition, Damage::rows, read_clock());
  schedule_turn();
}

template <class Answer>
std::function<void(Answer)> Driver::on_loop(std::function<void(Answer)> action) {
  return [inbox = inbox_, action = std::move(action)](Answer answer) mutable {  // called once
    Inbox::put(inbox,
               [action = std::move(action), answer = std::move(answer)]() mutable { action(std::move(answer)); });
  };
}

// ---- Outputs ---------------------------------------------------------------------------------------

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
  StorageStatus storage = storage_.status();
  status.database_bytes = storage.database_bytes;
  status.disk_total_bytes = storage.disk_total_bytes;
  status.disk_free_bytes = storage.disk_free_bytes;
  status.disk_id = storage.disk_id;
  status.no_space = storage.room != Room::ample;
  status.storage_note = storage.note;
}

void Driver::log(const Event& event) {
  // What happens to each of hundreds of groups whenever one node comes or goes, and to busy ones all the time.
  static constexpr std::array<std::string_view, 7> routine = {
      "campaign", "leader_elected", "step_down", "transfer", "batch_delayed", "log_cut", "log_cut_for_budget"};
  bool is_routine = std::find(routine.begin(), routine.end(), event.name) != routine.end();
  spdlog::log(is_routine ? spdlog::level::debug : spdlog::level::info, "event={} {}", event.name, event.detail);
  // Not what busy groups do all the time: it would push out what somebody wants to see.
  static constexpr std::array<std::string_view, 4> ordinary = {"campaign", "batch_delayed", "log_cut",
                                                               "log_cut_for_budget"};
  if (std::find(ordinary.begin(), ordinary.end(), event.name) != ordinary.end()) return;
  constexpr std::string_view of_one = "partition=";
  const bool of_partition = event.detail.starts_with(of_one);
  if (of_partition && event.name == "replica_repaired") {
    damaged_.erase(
        PartitionId{static_cast<std::uint32_t>(std::strtoul(event.detail.c_str() + of_one.size(), nullptr, 10))});
  }
  journal_.add(of_partition ? EventJournal::About::partition : EventJournal::About::ring, event.name, event.detail,
               node_.ring_time(boot_time()));
}

void Driver::trouble(std::string name, std::string detail) {
  spdlog::error("event={} {}", name, detail);
  journal_.add(EventJournal::About::ring, std::move(name), std::move(detail), node_.ring_time(boot_time()));
}

void Driver::fatal(std::string_view event, Error error) {
  std::function<void(Error)> on_fatal = on_fatal_;
  spdlog::error("event={} reason=\"{}\"", event, error.text());
  // What is held back was promised to be durable first: it never leaves.
  held_.clear();
  stop();
  on_fatal(std::move(error));
}

}  // namespace ringfs::dht

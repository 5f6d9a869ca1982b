// The life of a node's process: start, run, drain; and which failure is which exit code.
#include "nodes/daemon/daemon.hpp"

#include <spdlog/spdlog.h>
#include <unistd.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <csignal>
#include <iostream>
#include <list>
#include <optional>

#include "dht/base/descriptor.hpp"
#include "dht/net/client/object_client.hpp"
#include "dht/net/client/ring_admin_client.hpp"
#include "dht/net/client/ring_client.hpp"
#include "dht/net/runtime/server.hpp"
#include "dht/net/sockets/dial.hpp"
#include "dht/net/sockets/peer_user.hpp"
#include "dht/net/transport/operator_trust.hpp"
#include "dht/net/transport/system_clock.hpp"
#include "dht/net/transport/tcp_transport.hpp"
#include "dht/net/trust/token_rows.hpp"
#include "nodes/daemon/background_tasks.hpp"
#include "nodes/daemon/lock_settler.hpp"
#include "nodes/daemon/metrics.hpp"
#include "nodes/daemon/move_to_tls.hpp"
#include "nodes/daemon/node_credentials.hpp"
#include "nodes/daemon/service_notice.hpp"
#include "nodes/daemon/trust_tasks.hpp"
#include "nodes/rest/bearer_tokens.hpp"
#include "nodes/rest/gateway.hpp"
#include "nodes/store/files/sqlite_schema.hpp"
#include "nodes/store/sqlite_store.hpp"

namespace ringfs::nodes {

namespace asio = boost::asio;
using Outcome = tl::expected<void, DaemonFailure>;

namespace {

constexpr auto watch_interval = std::chrono::milliseconds(500);
constexpr int unwind_turns = 100;  // each ends at least one await of every background task
constexpr auto drain_poll = std::chrono::milliseconds(10);
constexpr auto admission_limit = std::chrono::seconds(60);

constexpr const char* damage_advice =
    "if it is not a node's directory, give another --data; if it is damaged, look at the disk and keep the files: the "
    "other nodes hold copies and go on. `ringfs remove NODE --force`, then a node with an empty --data and --join put "
    "a new one in its place; an emptied directory alone would be a node that this ring does not know";

DaemonFailure cannot_open(const Error& error, const std::filesystem::path& data) {
  switch (error.code) {
    case ErrorCode::overloaded:
      return {ExitCode::directory_in_use, error.context, "stop the other ringfs-node, or give this one another --data"};
    case ErrorCode::no_space:
      return {ExitCode::disk_full, "the disk of " + data.string() + " is full: " + error.context,
              "free some space and start again"};
    case ErrorCode::version_mismatch:
      return {ExitCode::database_newer, error.context, "start the newer ringfs-node that wrote it"};
    case ErrorCode::corrupt: return {ExitCode::database_unusable, error.context, damage_advice};
    case ErrorCode::invalid_argument:
      return {ExitCode::usage, error.context, "give a directory that may be written as --data"};
    default: return {ExitCode::storage_failed, error.text(), "look at the disk and its permissions"};
  }
}

DaemonFailure cannot_listen(const Error& error, const std::string& option) {
  return {ExitCode::address_unusable, error.context,
          "give another address with " + option + " (port 0 takes a free one)"};
}

DaemonFailure no_credentials(const Error& error) {
  if (error.code == ErrorCode::cancelled)
    return {ExitCode::stopped, error.context, "start it again: it goes on where it was"};
  const bool silent = not_reached(error.code) || error.code == ErrorCode::timeout ||
                      error.code == ErrorCode::unavailable || error.code == ErrorCode::overloaded ||
                      error.code == ErrorCode::busy;
  if (silent)
    return {ExitCode::ring_silent, error.context,
            "look at the addresses of --join, and whether the ring is up; start again"};
  return {
      ExitCode::not_admitted, error.context,
      "look at the token and the addresses; a token is made by `ringfs token create --role node` on a machine of the "
      "ring"};
}

DaemonFailure unfit_files(const Error& error, const std::filesystem::path& data) {
  return {ExitCode::not_admitted, error.context,
          "`ringfs-node --data " + data.string() + " --init` says what the certificate has to name"};
}

class Daemon {
 public:
  explicit Daemon(DaemonOptions options) : options_(std::move(options)), signals_(loop_), watch_(loop_) {}
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;

  ~Daemon() {
    // Coroutines unwind while all that they use still exists. Whatever has a timer is destroyed before the loop.
    draining_ = true;
    if (driver_) driver_->stop();
    if (transport_) transport_->stop();
    for (asio::cancellation_signal& task : tasks_) task.emit(asio::cancellation_type::terminal);
    loop_.restart();
    for (int turn = 0; turn < unwind_turns && !tasks_.empty(); ++turn) loop_.poll();
    gateway_.reset();
    server_.reset();
    transport_.reset();
    driver_.reset();
    store_.reset();
  }

  Outcome run() {
    Outcome started = start();
    if (!started) return started;
    if (removed()) {
      // Its data directory is of no use any more: to be added again the node needs an empty one.
      const std::string ring = driver_->node().genesis()->ring.text();
      std::cerr << "ringfs-node: node " << id_.text() << " was removed from its ring " << ring
                << "; to be added again it needs another --data directory\n";
      return {};
    }
    announce_ready();
    loop_.run();
    if (failure_) return tl::unexpected(*failure_);
    spdlog::info("event=stopped node={}", id_.text());
    return {};
  }

 private:
  // ---- Start ----

  Outcome start() {
    if (::geteuid() == dht::overflow_user()) {
      return tl::unexpected(
          DaemonFailure{ExitCode::usage,
                        "a node does not run as user " + std::to_string(::geteuid()) + ", which stands for strangers",
                        "make a user of its own for it"});
    }
    // From here on a signal ends the node in order, however long opening the store takes.
    signals_.add(SIGTERM);
    signals_.add(SIGINT);
    Result<dht::Listener> listener = listen();
    if (!listener) return tl::unexpected(cannot_listen(listener.error(), "--listen"));
    SqliteStoreOptions store_options;
    store_options.synchronous_off = options_.synchronous_off;
    store_options.rebuild = options_.rebuild;
    if (options_.scrub_without_pause) {
      store_options.scrub.pause = std::chrono::seconds(1);
      store_options.scrub.bytes_per_second = store_options.scrub.first_bytes_per_second;
    }
    Result<SqliteStore::Opened> opened = SqliteStore::open(options_.data, random_, store_options);
    if (!opened) return tl::unexpected(cannot_open(opened.error(), options_.data));
    store_ = std::move(opened->store);
    id_ = opened->node.id;
    Outcome rest = listen_for_rest();
    if (rest)
      rest = options_.operator_files.given() ? take_operator_files(opened->node)
                                             : take_credentials(opened->node.genesis.has_value());
    if (rest) rest = check_addresses(opened->node.table.value_or(dht::MembersTable()), *listener);
    if (!rest) return rest;
    make_client();
    start_driver(std::move(*opened));
    start_gateway();
    start_server(std::move(*listener));
    start_background_tasks();
    signals_.async_wait([this](boost::system::error_code error, int signal) {
      if (!error) begin_drain("signal " + std::to_string(signal));
    });
    watch();
    return {};
  }

  // It has a certificate, or will have one; or its database says whether it will (check_addresses()).
  bool may_leave_machine() const {
    std::error_code unreadable;  // is found when it is opened
    return options_.create || !options_.token.empty() || options_.operator_files.given() ||
           NodeCredentials::are_in(options_.data) ||
           std::filesystem::exists(options_.data / database_file_name, unreadable);
  }

  // A member that has no certificate may have an address for other machines if it had a plain one before: it gets its
  // certificate while it runs, and its connections from elsewhere are refused until then.
  Outcome check_addresses(const dht::MembersTable& table, const dht::Listener& listener) {
    move_ = MoveToTls(table, id_, address_, trust_ == nullptr || trust_->issuer() == dht::Issuer::ring);
    const bool stays = dht::is_of_this_machine(listener.address) &&
                       (!rest_listener_ || dht::is_of_this_machine(rest_listener_->address));
    const dht::Member* self = table.find(id_);
    const bool ends = self != nullptr && self->state == MemberState::removed;  // says so when it has started
    if (trust_ != nullptr || stays || move_.under_way() || ends) return {};
    if (self == nullptr) {
      return tl::unexpected(
          cannot_listen({ErrorCode::invalid_argument, "refusing to listen on " + listener.address +
                                                          ": it is not a loopback address, and this node has no "
                                                          "certificate and no token"},
                        "--listen"));
    }
    return tl::unexpected(DaemonFailure{
        ExitCode::not_admitted,
        "this node has been at " + self->address + ", but its certificate is not in " + options_.data.string(),
        "put the folder `credentials` back or give --tls-ca as before; else replace this node by a new one"});
  }

  Result<dht::Listener> listen() {
    Result<dht::Listener> listener = dht::listen_on(loop_, options_.listen, may_leave_machine());
    if (!listener) return listener;
    Result<std::string> advertised = dht::advertised_address(options_.advertise, listener->address);
    if (!advertised) return tl::unexpected(advertised.error());
    address_ = std::move(*advertised);
    // A node that others know by a name is found on its own machine by the address where it listens.
    listener->local = dht::listen_beside(loop_, dht::numeric_endpoint(address_) ? address_ : listener->address);
    return listener;
  }

  Outcome listen_for_rest() {
    if (options_.rest.empty()) return {};
    Result<dht::Listener> listener = dht::listen_on(loop_, options_.rest, may_leave_machine());
    if (!listener) return tl::unexpected(cannot_listen(listener.error(), "--rest"));
    const bool everywhere = listener->acceptor.local_endpoint().address().is_unspecified();
    const std::string host = address_.substr(0, address_.rfind(':'));
    Result<std::string> advertised = dht::advertised_address(everywhere ? host : "", listener->address);
    if (!advertised) return tl::unexpected(cannot_listen(advertised.error(), "--rest"));
    rest_address_ = std::move(*advertised);
    rest_listener_ = std::move(*listener);
    return {};
  }

  // A ring of its own, or somebody else's; or what an earlier start got.
  Outcome take_credentials(bool in_ring) {
    credentials_.emplace(options_.data, id_);
    Result<std::shared_ptr<dht::RingTrust>> trust = credentials_->load();
    if (trust && options_.create && !in_ring) {
      Result<NodeCredentials::FoundedRing> founded = credentials_->found({.address = address_,
                                                                          .rest_address = rest_address_,
                                                                          .partition_bits = options_.partition_bits,
                                                                          .replication = options_.replication},
                                                                         random_);
      if (!founded) return tl::unexpected(no_credentials(founded.error()));
      trust = std::move(founded->trust);
      founded_ = std::move(founded->genesis);
    } else if (trust && *trust == nullptr && !in_ring && !options_.token.empty()) {
      trust = ask_for_certificate();
    }
    if (!trust) return tl::unexpected(no_credentials(trust.error()));
    if (*trust != nullptr) take_trust(std::move(*trust));
    return {};
  }

  // All files that an operator gives must fit this node and its ring.
  Outcome take_operator_files(const dht::PersistedNode& node) {
    credentials_.emplace(options_.data, id_);
    dht::ExpectedHolder expected{.kind = dht::Identity::Kind::node, .ring = {}, .node = id_};
    const Result<std::optional<Uuid>> prepared = credentials_->prepared_ring();
    if (!prepared) return tl::unexpected(unfit_files(prepared.error(), options_.data));
    if (*prepared) expected.ring = **prepared;
    if (node.genesis) expected.ring = node.genesis->ring;
    Result<dht::OperatorTrust> made = dht::OperatorTrust::make(options_.operator_files, expected);
    if (!made) return tl::unexpected(unfit_files(made.error(), options_.data));
    if (node.table && !node.table->authorities.empty()) {
      return tl::unexpected(DaemonFailure{ExitCode::not_admitted, "this ring has an authority of its own",
                                          "start the node without --tls-ca, --tls-certificate and --tls-key"});
    }
    if (options_.create && !node.genesis) {
      Result<dht::Genesis> genesis = credentials_->genesis({.address = address_,
                                                            .rest_address = rest_address_,
                                                            .partition_bits = options_.partition_bits,
                                                            .replication = options_.replication},
                                                           made->trust()->ring(), random_);
      if (!genesis) return tl::unexpected(no_credentials(genesis.error()));
      founded_ = std::move(*genesis);
    }
    operator_trust_ = std::move(*made);
    take_trust(operator_trust_->trust());
    return {};
  }

  Task<void> follow_operator_files() {
    for (;;) {
      co_await client_->sleep(dht::operator_files_interval);
      operator_trust_->look();
    }
  }

  void take_trust(std::shared_ptr<dht::RingTrust> trust) {
    trust_ = std::move(trust);
    trust_->set_confirmed_at([this] { return driver_->node().table_confirmed_at(dht::read_clock()); });
    trust_->set_table([this] { return driver_->node().genesis() ? &driver_->node().table() : nullptr; });
    if (server_) server_->take_trust(trust_);
  }

  // As the node's trust is when a connection is made.
  dht::StreamMaker dialling() {
    return [this](dht::Socket socket) { return dht::dialling_streams(trust_)(std::move(socket)); };
  }
  dht::StreamMaker accepting() {
    return [this](dht::Socket socket) { return dht::accepting_streams(trust_)(std::move(socket)); };
  }

  // Runs the loop until the ring has answered, which a signal ends.
  Result<std::shared_ptr<dht::RingTrust>> ask_for_certificate() {
    Result<std::shared_ptr<dht::RingTrust>> trust = fail(ErrorCode::cancelled, "stopped while it asked to be let in");
    NodeCredentials::Joining joining{
        .nodes = options_.join, .token = options_.token, .address = address_, .rest_address = rest_address_};
    asio::co_spawn(loop_,
                   credentials_->join(loop_.get_executor(), std::move(joining), dht::boot_time() + admission_limit),
                   [this, &trust](const std::exception_ptr& thrown, Result<std::shared_ptr<dht::RingTrust>> got) {
                     if (!thrown) trust = std::move(got);
                     loop_.stop();
                   });
    asio::signal_set stop(loop_, SIGTERM, SIGINT);
    stop.async_wait([this](boost::system::error_code error, int) {
      if (!error) loop_.stop();
    });
    loop_.run();
    stop.cancel();
    loop_.restart();
    loop_.poll();
    loop_.restart();
    return trust;
  }

  void start_driver(SqliteStore::Opened opened) {
    dht::DriverOptions driver_options;
    driver_options.node.address = move_.under_way() ? move_.former() : address_;
    driver_options.node.rest_address = rest_address_;
    driver_options.damaged = std::move(opened.damaged);
    driver_options.make_stream = dialling();
    driver_ = std::make_unique<dht::Driver>(loop_, *store_, std::move(opened.node), random_, std::move(driver_options),
                                            [this](const Error& error) { ended_by(error); });
    driver_->start();
    if (!founded_) return;
    driver_->submit(dht::CreateOperation{*founded_}, [this](const dht::OperationResult& result) {
      if (!result) ended_by(result.error().error);
    });
  }

  void start_server(dht::Listener listener) {
    dht::ServerOptions options;
    options.open_loopback = options_.open_loopback;
    options.trust = trust_;
    options.make_stream = accepting();
    lock_settler_ = std::make_unique<LockSettler>(*client_, [this] { return background_tasks_->client_started(); });
    options.settle = [this](dht::SettleOperation asked, auto answer) {
      spawn(lock_settler_->settle(asked, std::move(answer)));
    };
    trust_tasks_ = std::make_unique<TrustTasks>(
        *driver_, *client_, [this] { return background_tasks_->client_started(); }, *credentials_, trust_,
        [this](std::shared_ptr<dht::RingTrust> trust) { take_trust(std::move(trust)); }, address_, rest_address_);
    options.admit = [this](dht::JoinRequest request, std::optional<dht::Certificate> shown,
                           std::function<void(Result<dht::JoinAnswer>)> answer) {
      spawn(trust_tasks_->admit(std::move(request), std::move(shown), std::move(answer)));
    };
    options.administer = [this](std::string question, AccessRole role,
                                std::function<void(Result<std::string>)> answer) {
      spawn(trust_tasks_->administer(std::move(question), role, std::move(answer)));
    };
    server_ = std::make_unique<dht::Server>(loop_, *driver_, std::move(listener), std::move(options));
    move_.listen(loop_, *server_, *driver_);
    server_->start();
  }

  void make_client() {
    dht::TcpTransportOptions transport_options;
    transport_options.make_stream = dialling();
    transport_ = std::make_unique<dht::TcpTransport>(loop_.get_executor(), random_, std::move(transport_options));
    // Times that a node writes are those of the ring: its own clock may be wrong.
    dht::ObjectClientOptions options;
    options.wall_clock = [this] { return driver_->node().ring_time(dht::boot_time()); };
    std::vector<std::string> self{address_};
    if (move_.under_way()) self.insert(self.begin(), move_.former());
    client_ = std::make_unique<dht::ObjectClient>(*transport_, std::move(self), options);
    ring_ = std::make_unique<dht::RingClient>(*transport_, *client_);
    admin_ = std::make_unique<dht::RingAdminClient>(*transport_, *client_, *ring_);
  }

  void start_gateway() {
    if (!rest_listener_) return;
    RestOptions options;
    options.open_loopback = options_.open_loopback;
    options.operation_timeout = [this] {
      return std::chrono::seconds(setting_value(driver_->node().table().settings, op_timeout_setting));
    };
    options.in_ring = [this] { return in_ring_; };
    let_in_over_tls(options);
    gateway_ = std::make_unique<RestGateway>(
        loop_.get_executor(), *client_, *ring_, *admin_, [this] { return metrics(); }, std::move(options));
    gateway_->start(std::move(*rest_listener_));
    rest_listener_.reset();
  }

  void let_in_over_tls(RestOptions& options) {
    bearer_tokens_ = std::make_unique<BearerTokens>(*client_, [](std::string_view value) -> Result<RestToken> {
      const Result<dht::TokenRow> row = dht::decode_token_row(value);
      if (!row) return tl::unexpected<Error>(row.error());
      return RestToken{.rest = row->kind == dht::TokenRow::Kind::rest, .role = row->role, .expires = row->expires};
    });
    options.tls = [this] { return trust_ == nullptr ? nullptr : trust_->web_context(); };
    // There are certificates on connections that are TLS, which there are not before the node has one.
    options.role_of_certificate = [this](const dht::Certificate& leaf, const auto& chain) -> Result<AccessRole> {
      const auto peer = trust_->known(leaf, chain);
      if (!peer) return tl::unexpected<Error>(peer.error());
      if (Status current = trust_->up_to_date(); !current) return tl::unexpected<Error>(current.error());
      return peer->role;
    };
    options.role_of_bearer = [this](std::string hash) { return role_of_bearer(std::move(hash)); };
    options.advertised = rest_address_;
    options.is_member_address = [this](const auto& address) {
      return trust_ != nullptr && trust_->is_member_address(address);
    };
  }

  Task<Result<AccessRole>> role_of_bearer(std::string hash) {
    if (Status current = trust_->up_to_date(); !current) co_return tl::unexpected<Error>(current.error());
    co_return co_await bearer_tokens_->role_of(std::move(hash));
  }

  void start_background_tasks() {
    background_tasks_ = std::make_unique<BackgroundTasks>(
        *driver_, *client_, address_, rest_address_, [this] { return move_.may_announce(driver_->node().table()); },
        options_.janitor_interval);
    spawn(background_tasks_->start_client());
    spawn(background_tasks_->janitor());
    spawn(background_tasks_->announce());
    if (!options_.join.empty()) spawn(background_tasks_->join(*transport_, options_.join));
    spawn(trust_tasks_->commit_authority());
    spawn(trust_tasks_->renew());
    if (operator_trust_) spawn(follow_operator_files());
  }

  // Every coroutine can be cancelled, and tasks_ is empty when all have ended.
  void spawn(Task<void> work) {
    auto task = tasks_.emplace(tasks_.end());
    asio::co_spawn(loop_, std::move(work),
                   asio::bind_cancellation_slot(task->slot(), [this, task](const std::exception_ptr& error) {
                     tasks_.erase(task);
                     if (!error || draining_) return;  // a cancelled coroutine ends with an exception
                     try {
                       std::rethrow_exception(error);
                     } catch (const std::exception& exception) {
                       spdlog::error("event=background_task_ended reason=\"{}\"", exception.what());
                     }
                   }));
  }

  void announce_ready() {
    std::string line = "ready node=" + id_.text() + " rpc=" + address_ +
                       (rest_address_.empty() ? std::string() : " rest=" + rest_address_) + "\n";
    spdlog::info("event=ready node={} rpc={} rest={}", id_.text(), address_, rest_address_);
    std::cout << line << std::flush;
    notify_service_manager("READY=1\nSTATUS=Node " + line.substr(line.find('=') + 1));
    const Descriptor ready(options_.ready_descriptor);
    if (ready.value < 0) return;
    ssize_t written = ::write(ready.value, line.data(), line.size());
    if (written != static_cast<ssize_t>(line.size()))
      spdlog::warn("event=ready_not_told descriptor={}", options_.ready_descriptor);
  }

  bool removed() const {
    const dht::Member* self = driver_->node().table().find(id_);
    return self != nullptr && self->state == MemberState::removed;
  }

  std::string metrics() {
    return node_metrics_text(driver_->status(), store_->status(),
                             {.refused_rpc = server_->counters().refused, .refused_rest = gateway_->refusals()},
                             driver_->node().lease_counters());
  }

  // ---- While running ----

  void watch() {
    watch_.expires_after(watch_interval);
    watch_.async_wait([this](boost::system::error_code error) {
      if (error || draining_) return;
      in_ring_ = background_tasks_->client_started();
      const std::optional<dht::Genesis>& genesis = driver_->node().genesis();
      if (genesis) transport_->set_ring(genesis->ring);
      if (removed()) {
        spdlog::info("event=removed node={} ring={}", id_.text(), genesis ? genesis->ring.text() : "");
        begin_drain("this node was removed from its ring");
        return;
      }
      move_.go_on(*server_, *driver_);
      watch();
    });
  }

  DaemonOptions options_to_rebuild() const {
    DaemonOptions options = options_;
    options.rebuild = true;
    options.ready_descriptor = -1;  // the line was written already
    if (!address_.empty()) options.listen = address_;
    if (!rest_address_.empty()) options.rest = rest_address_;
    return options;
  }

  void ended_by(const Error& error) {
    if (error.code == ErrorCode::removed) {
      begin_drain("this node was removed from its ring");
      return;
    }
    if (error.code == ErrorCode::cloned_identity) {
      failure_ = DaemonFailure{
          ExitCode::identity_refused,
          options_.data.string() + " is a copy, or an older state, of a node that has run since: " + error.context,
          "if no other process of this node runs, it cannot come back: remove it from its ring with force, and add an "
          "empty one"};
    } else if (error.code == ErrorCode::corrupt) {
      std::string file = (options_.data / database_file_name).string();
      bool named = error.context.find(file) != std::string::npos;
      failure_ =
          DaemonFailure{ExitCode::database_unusable, named ? error.context : file + " is damaged: " + error.context,
                        damage_advice, options_to_rebuild()};
    } else {
      failure_ = DaemonFailure{ExitCode::storage_failed, "the storage failed: " + error.text(),
                               "look at the disk, then start again: the node goes on from what the disk says"};
    }
    // What this process still has in memory must not be acted on (docs/design.md#failed-writes).
    loop_.stop();
  }

  // ---- The end ----

  void begin_drain(const std::string& reason) {
    if (draining_) return;
    draining_ = true;
    TimePoint now = dht::boot_time();
    drain_end_ = now + options_.drain_limit;
    gateway_end_ = now + options_.drain_limit / 2;
    spdlog::info("event=stopping reason=\"{}\" open_requests={}", reason, server_->open_requests());
    notify_service_manager("STOPPING=1");
    // The gateway stops first. Its requests go through this node's own server, so that goes on serving everybody until
    // they are answered.
    if (gateway_) {
      gateway_stopped_ = false;
      asio::co_spawn(loop_, gateway_->stop(), [this](const std::exception_ptr&) { gateway_stopped_ = true; });
    }
    for (asio::cancellation_signal& task : tasks_) task.emit(asio::cancellation_type::terminal);
    poll_drain();
  }

  void poll_drain() {
    TimePoint now = dht::boot_time();
    bool serving = !gateway_stopped_ && now < gateway_end_;
    if (!serving) server_->drain();
    bool quiet = !serving && server_->open_requests() == 0 && server_->flushed() && gateway_stopped_ && tasks_.empty();
    if (quiet || now >= drain_end_) {
      if (!quiet) spdlog::warn("event=drain_cut_short open_requests={}", server_->open_requests());
      server_->stop();
      transport_->stop();
      driver_->stop();
      loop_.stop();
      return;
    }
    watch_.expires_after(drain_poll);
    watch_.async_wait([this](boost::system::error_code error) {
      if (!error) poll_drain();
    });
  }

  const DaemonOptions options_;
  SystemRandom random_;
  std::list<asio::cancellation_signal>
      tasks_;  // one for each running background task; before the loop, whose coroutines use them
  std::unique_ptr<SqliteStore> store_;
  std::unique_ptr<dht::TcpTransport> transport_;
  std::unique_ptr<dht::ObjectClient> client_;
  std::unique_ptr<dht::RingClient> ring_;
  std::unique_ptr<dht::RingAdminClient> admin_;
  std::unique_ptr<BackgroundTasks> background_tasks_;
  std::unique_ptr<TrustTasks> trust_tasks_;
  std::unique_ptr<BearerTokens> bearer_tokens_;
  std::unique_ptr<LockSettler> lock_settler_;
  asio::io_context loop_{1};
  asio::signal_set signals_;
  asio::steady_timer watch_;
  std::unique_ptr<dht::Driver> driver_;
  std::unique_ptr<dht::Server> server_;
  std::unique_ptr<RestGateway> gateway_;
  Uuid id_;
  std::string address_;
  std::string rest_address_;
  MoveToTls move_;
  std::optional<NodeCredentials> credentials_;
  std::optional<dht::OperatorTrust> operator_trust_;
  std::shared_ptr<dht::RingTrust> trust_;  // null: its connections stay on this machine
  std::optional<dht::Genesis> founded_;
  std::optional<dht::Listener> rest_listener_;
  std::optional<DaemonFailure> failure_;
  bool in_ring_ = false;  // the client has started, so the gateway can answer for the ring
  bool draining_ = false;
  bool gateway_stopped_ = true;
  TimePoint drain_end_ = never;
  TimePoint gateway_end_ = never;
};

}  // namespace

tl::expected<PreparedNode, DaemonFailure> prepare_node(const std::filesystem::path& data,
                                                       const std::optional<Uuid>& ring) {
  SystemRandom random;
  Result<SqliteStore::Opened> opened = SqliteStore::open(data, random, {});
  if (!opened) return tl::unexpected(cannot_open(opened.error(), data));
  const dht::PersistedNode& node = opened->node;
  if (node.genesis && ring && *ring != node.genesis->ring) {
    return tl::unexpected(DaemonFailure{ExitCode::usage, "this node belongs to the ring " + node.genesis->ring.text(),
                                        "give another --data"});
  }
  if (node.genesis) return PreparedNode{node.genesis->ring, node.id};
  const Result<Uuid> prepared = NodeCredentials(data, node.id).prepare_ring(ring, random);
  if (!prepared) return tl::unexpected(DaemonFailure{ExitCode::usage, prepared.error().context, "give another --data"});
  return PreparedNode{*prepared, node.id};
}

Outcome run_daemon(DaemonOptions options) { return Daemon(std::move(options)).run(); }

}  // namespace ringfs::nodes

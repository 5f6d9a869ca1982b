// Accepting connections, and what holds for all of them.
#include "dht/net/runtime/server.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <boost/asio/steady_timer.hpp>

#include "dht/net/runtime/server_session.hpp"
#include "dht/net/sockets/dial.hpp"
#include "dht/net/transport/system_clock.hpp"

namespace ringfs::dht {

namespace {

// How long nothing is accepted after the process ran out of descriptors: trying at once would spin.
constexpr auto accept_pause = std::chrono::milliseconds(100);

void close(Listener& listener) {
  boost::system::error_code ignored;  // closing has no failure that anybody could act on
  listener.acceptor.close(ignored);
  if (listener.local) listener.local->close(ignored);
}

}  // namespace

Server::Server(boost::asio::io_context& loop, Driver& driver, Listener listener, ServerOptions options)
    : driver_(driver),
      options_(std::move(options)),
      listener_(std::move(listener)),
      sweep_timer_(loop.get_executor(), [this] { sweep(); }),
      shares_([this](const HandshakeShares::Address& address) {
        return options_.trust != nullptr && options_.trust->is_member_address(address);
      }) {}

Server::~Server() {
  *alive_ = false;
  stop();
}

void Server::start() {
  driver_.on_recall([this](const Recall& wanted) { recall(wanted); });
  accept_from(listener_);
  if (former_) accept_from(*former_);
  sweep_timer_.wake_at(boot_time() + options_.limits.sweep);
}

void Server::end_former() {
  if (former_) close(*former_);
}

void Server::accept_from(Listener& listener) {
  accept_from(listener.acceptor);
  if (listener.local) accept_from(*listener.local);
}

template <class Acceptor>
void Server::accept_from(Acceptor& acceptor) {
  if (draining_ || !acceptor.is_open()) return;
  using Accepted = typename Acceptor::protocol_type::socket;
  acceptor.async_accept([this, &acceptor, alive = alive_](boost::system::error_code error, Accepted socket) {
    if (!*alive || error == boost::asio::error::operation_aborted) return;
    if (!error) {
      accepted(std::move(socket));
      accept_from(acceptor);
      return;
    }
    if (refused_log_.allow(boot_time())) spdlog::warn("event=accept_failed reason=\"{}\"", error.message());
    auto pause = std::make_shared<boost::asio::steady_timer>(acceptor.get_executor(), accept_pause);
    pause->async_wait([this, &acceptor, alive, pause](const boost::system::error_code&) {
      if (*alive) accept_from(acceptor);
    });
  });
}

void Server::accepted(Socket socket) {
  ++counters_.accepted;
  LocalPeer peer(socket);
  if (sessions_.size() >= options_.limits.connections) {
    log_refused(peer.name(), Denial{{ErrorCode::overloaded, "too many connections"}, RefusalReason::limit});
    return;  // the socket closes itself
  }
  boost::system::error_code gone;  // has no address: what is made of it fails by itself
  std::optional<HandshakeShares::Address> source = address_of(socket.remote_endpoint(gone));
  std::unique_ptr<Stream> stream = options_.make_stream(std::move(socket));
  if (const std::optional<Error> failure = stream->failure()) {
    log_refused(peer.name(), Denial{*failure, RefusalReason::no_tls});
    return;  // nor has it anything to say it with
  }
  if (stream->tls() == nullptr) source.reset();
  if (source && !shares_.begin(*source)) {
    log_refused(peer.name(), Denial{{ErrorCode::overloaded, "too many handshakes at once"}, RefusalReason::limit});
    return;
  }
  auto session = std::make_shared<Session>(*this, std::move(stream), peer.name(),
                                           options_.open_loopback ? LocalPeer() : peer, source);
  sessions_.emplace(session.get(), session);
  session->start();
}

void Server::sweep() {
  TimePoint now = boot_time();
  std::vector<std::shared_ptr<Session>> late;
  for (auto& [key, session] : sessions_) {
    if (session->is_late(now)) late.push_back(session);
  }
  std::vector<std::shared_ptr<Session>> ended;
  for (auto& [key, session] : sessions_) {
    if (session->has_ended()) ended.push_back(session);
  }
  for (auto& session : ended) {
    session->refuse(Denial{{ErrorCode::access_denied, "your certificate has expired"},
                           RefusalReason::certificate,
                           CertificateFault::expired},
                    true);
  }
  for (auto& session : late) session->refuse_late();
  refuse_strangers();
  sweep_timer_.wake_at(now + options_.limits.sweep);
}

void Server::refuse_strangers() {
  if (options_.trust == nullptr) return;
  const bool changed = options_.trust->table_version() != checked_version_;
  if (!changed && options_.trust->up_to_date()) return;
  checked_version_ = options_.trust->table_version();
  std::vector<std::pair<std::shared_ptr<Session>, Denial>> strangers;
  for (auto& [key, session] : sessions_) {
    if (auto counts = session->still_counts(); !counts) strangers.emplace_back(session, counts.error());
  }
  for (auto& [session, why] : strangers) session->refuse(why, true);
}

void Server::node_met(Session& session) {
  Session*& newest = nodes_[session.handshake().node];
  Session* older = std::exchange(newest, &session);
  if (older != nullptr) {
    // The peer gave the older connection up, or has been started again and its old process is gone.
    bool restarted = !(older->handshake().incarnation == session.handshake().incarnation);
    older->end_quietly();
    if (restarted) driver_.peer_disconnected(session.handshake().node);
  }
  driver_.peer_connected(session.handshake().node, session.handshake().address);
}

void Server::node_gone(Session& session) {
  auto found = nodes_.find(session.handshake().node);
  if (found == nodes_.end() || found->second != &session) return;  // replaced by a newer connection
  nodes_.erase(found);
  driver_.peer_disconnected(session.handshake().node);
}

// A client without a connection hears of it when it has one: leaders ask again.
void Server::recall(const Recall& recall) {
  auto found = lease_clients_.find(recall.client);
  if (found != lease_clients_.end()) found->second->recall(recall);
}

void Server::forget(Session& session) { sessions_.erase(&session); }

void Server::log_refused(const std::string& peer, const Denial& why) {
  counters_.refused.add(why);
  if (auto swallowed = refused_log_.allow(boot_time())) {
    spdlog::warn("event=connection_refused peer={} reason=\"{}\" unlogged={}", peer, why.text(), *swallowed);
  }
}

void Server::drain() {
  draining_ = true;
  close(listener_);
  end_former();
  std::vector<std::shared_ptr<Session>> sessions;  // some end in here
  for (auto& [key, session] : sessions_) sessions.push_back(session);
  for (auto& session : sessions) session->drain();
}

bool Server::room_for_client() const {
  const ServerLimits& limits = options_.limits;
  return clients_ < limits.connections - std::min(limits.reserved_for_nodes, limits.connections / 4);
}

std::size_t Server::open_requests() const {
  std::size_t total = 0;
  for (const auto& [key, session] : sessions_) total += session->requests_in_flight();
  return total;
}

bool Server::flushed() const {
  for (const auto& [key, session] : sessions_) {
    if (session->is_client() && session->queued_bytes() > 0) return false;
  }
  return true;
}

void Server::stop() {
  drain();
  driver_.on_recall({});
  sweep_timer_.stop();
  nodes_.clear();
  lease_clients_.clear();
  auto sessions = std::exchange(sessions_, {});
  for (auto& [key, session] : sessions) session->end_quietly();
}

}  // namespace ringfs::dht

// A link to each peer: when it is dialled, what waits for it, how long it backs off.
#include "dht/net/transport/peer.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <boost/asio/steady_timer.hpp>

#include "dht/net/transport/log_limit.hpp"
#include "dht/net/transport/outgoing_connection.hpp"
#include "dht/net/transport/system_clock.hpp"

namespace ringfs::dht {

namespace {

// Frames of this size are refused by every receiver; the core never makes one.
bool fits(const WireMessage& message) { return message.bytes() <= max_frame_bytes; }

}  // namespace

class Peers::Link final : public OutgoingConnection {
 public:
  Link(Peers& peers, const Uuid& peer)
      : OutgoingConnection(peers.executor_, peers.flusher_,
                           {.connect = peers.limits_.connect,
                            .handshake = peers.limits_.handshake,
                            .make_stream = peers.make_stream_}),
        peers_(peers),
        peer_(peer),
        timer_(peers.executor_) {}

  void send(const Envelope& envelope) {
    if (idle() && !backing_off_) open();
    if (backing_off_) {
      ++peers_.counters_.dropped;
      return;
    }
    WireMessage message = encode(envelope);
    const std::size_t queued = waiting_bytes_ + queued_bytes();
    // Small envelopes pass a little longer: heartbeats and votes must get through, or the leader is deposed.
    const std::size_t limit =
        peers_.limits_.queue_bytes + (message.bytes() <= small_envelope_bytes ? peers_.limits_.queue_bytes / 8 : 0);
    if (!fits(message) || queued + message.bytes() > limit) {
      ++peers_.counters_.dropped;
      if (dropped_log_.allow(boot_time())) {
        spdlog::warn("event=envelope_dropped peer={} bytes={} queued={}", peer_.text(), message.bytes(), queued);
      }
      return;
    }
    if (connected()) {
      send_now(std::move(message));
    } else {
      waiting_bytes_ += message.bytes();
      waiting_.push_back(std::move(message));
    }
  }

  void seen(const std::string& address) {
    if (!address.empty()) seen_address_ = address;
    back_off_ = Duration(0);
    end_back_off();
  }

  // Not connected and nothing to say: may be forgotten.
  bool unused() const { return idle(); }

  void stop() {
    end_back_off();
    OutgoingConnection::stop();
  }

 private:
  void open() {
    // The address that the peer itself gave last is newer than the table's.
    std::string address = seen_address_.empty() ? peers_.listener_.address_of(peer_) : seen_address_;
    if (address.empty()) {
      end({ErrorCode::unreachable, "its address is not known"});
      return;
    }
    address_ = address;
    connect(address);
  }

  void send_now(WireMessage message) {
    OutgoingConnection::send(FrameKind::envelope, 0, std::move(message));
    ++peers_.counters_.sent;
  }

  Handshake own_handshake() override { return peers_.listener_.own_handshake(peer_); }

  Status check(const Handshake& handshake) override {
    if (handshake.node != peer_) {
      return fail(ErrorCode::wrong_identity, "node " + handshake.node.text() + " answers there");
    }
    return peers_.listener_.check_peer(handshake);
  }

  void handshake_done(const Handshake&) override {
    back_off_ = Duration(0);
    ++peers_.counters_.connects;
    spdlog::info("event=peer_connected peer={} address={}", peer_.text(), address_);
    reported_ = false;
    peers_.listener_.peer_accepted(peer_);
    waiting_bytes_ = 0;
    for (WireMessage& message : std::exchange(waiting_, {})) send_now(std::move(message));
  }

  // A peer answers over its own connection.
  void received(ReceivedFrame) override { end({ErrorCode::corrupt, "a frame that does not belong here"}); }

  void refused(const Error& why) override {
    if (why.code == ErrorCode::cloned_identity || why.code == ErrorCode::removed)
      peers_.listener_.identity_refused(peer_, why);
  }

  void lost(const Error& why, bool was_connected) override {
    // An address that does not lead to the peer any more: ask the table next time.
    if (!was_connected) seen_address_.clear();
    peers_.counters_.dropped += waiting_.size();
    ++peers_.counters_.failures;
    waiting_.clear();
    waiting_bytes_ = 0;
    // A link that stays broken is logged once, not at each attempt.
    if (!reported_)
      spdlog::warn("event=peer_lost peer={} address={} reason=\"{}\"", peer_.text(), address_, why.text());
    reported_ = true;
    back_off();
    peers_.listener_.peer_lost(peer_);
  }

  void back_off() {
    back_off_ = back_off_ == Duration(0) ? peers_.limits_.first_back_off
                                         : std::min(2 * back_off_, peers_.limits_.last_back_off);
    auto half = static_cast<std::uint64_t>(back_off_.count() / 2 + 1);
    Duration jitter(static_cast<std::int64_t>(peers_.random_.below(half)));
    backing_off_ = true;
    timer_.expires_after(back_off_ - back_off_ / 2 + jitter);
    timer_.async_wait([this, self = shared_from_this(), turn = ++back_off_turn_](boost::system::error_code error) {
      // A wait that was set again in the meantime may still come back without an error.
      if (!error && turn == back_off_turn_) backing_off_ = false;
    });
  }

  void end_back_off() {
    timer_.cancel();
    backing_off_ = false;
  }

  Peers& peers_;  // not used after stop()
  const Uuid peer_;
  boost::asio::steady_timer timer_;  // of the back-off
  bool backing_off_ = false;
  std::uint64_t back_off_turn_ = 0;
  Duration back_off_{0};
  std::string address_;
  std::string seen_address_;
  std::vector<WireMessage> waiting_;
  std::size_t waiting_bytes_ = 0;
  bool reported_ = false;
  LogLimit dropped_log_{1};
};

Peers::Peers(boost::asio::any_io_executor executor, Listener& listener, Flusher& flusher, Random& random,
             PeerLimits limits, StreamMaker make_stream)
    : executor_(std::move(executor)),
      listener_(listener),
      flusher_(flusher),
      random_(random),
      limits_(limits),
      make_stream_(std::move(make_stream)) {}

Peers::~Peers() { stop(); }

std::shared_ptr<Peers::Link> Peers::link_to(const Uuid& peer) {
  auto found = links_.find(peer);
  if (found != links_.end()) return found->second;
  if (links_.size() >= max_peers) {
    auto unused = std::find_if(links_.begin(), links_.end(), [](const auto& item) { return item.second->unused(); });
    if (unused == links_.end()) return nullptr;
    unused->second->stop();
    links_.erase(unused);
  }
  return links_.emplace(peer, std::make_shared<Link>(*this, peer)).first->second;
}

void Peers::send(const Envelope& envelope) {
  std::shared_ptr<Link> link = link_to(envelope.header.destination);
  if (link) {
    link->send(envelope);
  } else {
    ++counters_.dropped;
  }
}

void Peers::peer_seen(const Uuid& peer, const std::string& address) {
  std::shared_ptr<Link> link = link_to(peer);
  if (link) link->seen(address);
}

void Peers::stop() {
  for (auto& [peer, link] : links_) link->stop();
  links_.clear();
}

}  // namespace ringfs::dht

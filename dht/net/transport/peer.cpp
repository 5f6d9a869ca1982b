#include "dht/net/transport/peer.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <boost/asio/steady_timer.hpp>

#include "dht/net/transport/dial.hpp"
#include "dht/net/transport/log_limit.hpp"
#include "dht/net/transport/system_clock.hpp"

namespace ringfs::dht {

namespace {

// Frames of this size are refused by every receiver; the core never makes one.
bool fits(const WireMessage& message) { return message.bytes() <= max_frame_bytes; }

}  // namespace

class Peers::Link final : public FrameConnection::Owner, public std::enable_shared_from_this<Peers::Link> {
 public:
  Link(Peers& peers, const Uuid& peer) : peers_(&peers), peer_(peer), timer_(peers.executor_) {}

  void send(const Envelope& envelope) {
    if (state_ == State::idle) connect();
    if (state_ == State::backing_off) {
      ++peers_->counters_.dropped;
      return;
    }
    WireMessage message = encode(envelope);
    std::size_t queued = waiting_bytes_ + (connection_ ? connection_->queued_bytes() : 0);
    // What is small passes a little longer: heartbeats and votes behind a full queue keep leaders in office.
    const std::size_t limit =
        peers_->limits_.queue_bytes + (message.bytes() <= small_envelope_bytes ? peers_->limits_.queue_bytes / 8 : 0);
    if (!fits(message) || queued + message.bytes() > limit) {
      ++peers_->counters_.dropped;
      if (dropped_log_.allow(boot_time())) {
        spdlog::warn("event=envelope_dropped peer={} bytes={} queued={}", peer_.text(), message.bytes(), queued);
      }
      return;
    }
    if (state_ == State::connected) {
      connection_->send(FrameKind::envelope, 0, std::move(message));
      ++peers_->counters_.sent;
    } else {
      waiting_bytes_ += message.bytes();
      waiting_.push_back(std::move(message));
    }
  }

  void seen(const std::string& address) {
    if (!address.empty()) seen_address_ = address;
    back_off_ = Duration(0);
    if (state_ == State::backing_off) {
      timer_.cancel();
      state_ = State::idle;
    }
  }

  // Not connected and nothing to say: may be forgotten.
  bool unused() const { return state_ == State::idle || state_ == State::backing_off; }

  void stop() {
    peers_ = nullptr;
    timer_.cancel();
    if (dial_) dial_->cancel();
    if (connection_) connection_->close();
  }

 private:
  enum class State : std::uint8_t { idle, connecting, handshake, connected, backing_off };

  void connect() {
    // What the peer itself said last is newer than the table.
    std::string address = seen_address_.empty() ? peers_->listener_.address_of(peer_) : seen_address_;
    if (address.empty()) {
      lost({ErrorCode::unreachable, "its address is not known"});
      return;
    }
    state_ = State::connecting;
    address_ = address;
    dial_ = dial(
        peers_->executor_, address, peers_->limits_.connect,
        [self = shared_from_this()](Result<boost::asio::ip::tcp::socket> socket) { self->dialled(std::move(socket)); });
  }

  void dialled(Result<boost::asio::ip::tcp::socket> socket) {
    dial_.reset();
    if (peers_ == nullptr) return;
    if (!socket) {
      lost(socket.error());
      return;
    }
    state_ = State::handshake;
    connection_ = std::make_shared<FrameConnection>(peers_->make_stream_(std::move(*socket)), *this, peers_->flusher_);
    connection_->start();
    connection_->send(FrameKind::handshake, 0, encode(peers_->listener_.own_handshake(peer_)));
    after(peers_->limits_.handshake, [](Link& link) { link.lost({ErrorCode::timeout, "no handshake in time"}); });
  }

  void frame_received(FrameConnection&, ReceivedFrame frame) override {
    if (frame.header.kind == FrameKind::error) {
      Result<Error> error = decode_error(frame);
      const bool refused = state_ == State::handshake && error && error->code == ErrorCode::cloned_identity;
      std::shared_ptr<Link> self = shared_from_this();
      lost(error ? *error : error.error());
      if (refused && peers_ != nullptr) peers_->listener_.identity_refused(peer_, *error);
      return;
    }
    if (state_ != State::handshake || frame.header.kind != FrameKind::handshake) {
      lost({ErrorCode::corrupt, "a frame that does not belong here"});
      return;
    }
    Result<Handshake> handshake = decode_handshake(frame);
    if (!handshake) {
      lost(handshake.error());
    } else if (handshake->node != peer_) {
      lost({ErrorCode::wrong_identity, "node " + handshake->node.text() + " answers there"});
    } else if (Status fits = peers_->listener_.check_peer(*handshake); !fits) {
      lost(fits.error());
    } else {
      greeted();
    }
  }

  void greeted() {
    timer_.cancel();
    state_ = State::connected;
    back_off_ = Duration(0);
    connection_->set_frame_limit(max_frame_bytes);
    ++peers_->counters_.connects;
    spdlog::info("event=peer_connected peer={} address={}", peer_.text(), address_);
    reported_ = false;
    peers_->listener_.peer_accepted(peer_);
    waiting_bytes_ = 0;
    for (WireMessage& message : std::exchange(waiting_, {})) {
      connection_->send(FrameKind::envelope, 0, std::move(message));
      ++peers_->counters_.sent;
    }
  }

  void connection_closed(FrameConnection&, const Error& why) override { lost(why); }

  void lost(Error why) {
    std::shared_ptr<Link> self = shared_from_this();
    bool was_connected = state_ == State::connected;
    if (connection_) std::exchange(connection_, nullptr)->close();
    // An address that does not lead to the peer any more: ask the table next time.
    if (!was_connected) seen_address_.clear();
    peers_->counters_.dropped += waiting_.size();
    ++peers_->counters_.failures;
    waiting_.clear();
    waiting_bytes_ = 0;
    // A link that stays broken is worth one line, not one an attempt.
    if (!reported_)
      spdlog::warn("event=peer_lost peer={} address={} reason=\"{}\"", peer_.text(), address_, why.text());
    reported_ = true;
    state_ = State::backing_off;
    back_off_ = back_off_ == Duration(0) ? peers_->limits_.first_back_off
                                         : std::min(2 * back_off_, peers_->limits_.last_back_off);
    auto half = static_cast<std::uint64_t>(back_off_.count() / 2 + 1);
    Duration jitter(static_cast<std::int64_t>(peers_->random_.below(half)));
    after(back_off_ - back_off_ / 2 + jitter, [](Link& link) { link.state_ = State::idle; });
    peers_->listener_.peer_lost(peer_);
  }

  void after(Duration wait, void (*action)(Link&)) {
    timer_.expires_after(wait);
    timer_.async_wait([self = shared_from_this(), action, turn = ++timer_turn_](boost::system::error_code error) {
      // A wait that was set again in the meantime may still come back without an error.
      if (!error && self->peers_ != nullptr && turn == self->timer_turn_) action(*self);
    });
  }

  Peers* peers_;  // null after stop()
  const Uuid peer_;
  boost::asio::steady_timer timer_;
  std::uint64_t timer_turn_ = 0;
  State state_ = State::idle;
  std::shared_ptr<Dial> dial_;
  std::shared_ptr<FrameConnection> connection_;
  std::string address_;
  std::string seen_address_;
  std::vector<WireMessage> waiting_;
  std::size_t waiting_bytes_ = 0;
  Duration back_off_{0};
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

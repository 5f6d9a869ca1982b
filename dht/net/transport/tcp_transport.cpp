// A channel to each address, and the calls that wait for answers.
#include "dht/net/transport/tcp_transport.hpp"

#include <algorithm>
#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <set>

#include "dht/net/transport/outgoing_connection.hpp"
#include "dht/net/transport/system_clock.hpp"

namespace ringfs::dht {

namespace {

OperationResult failure(ErrorCode code, std::string context) {
  return tl::unexpected(OperationFailure{.error = {code, std::move(context)}, .redirect = {}});
}

}  // namespace

struct TcpTransport::Call {
  Handler handler;
  std::shared_ptr<Channel> channel;
  std::multimap<TimePoint, std::uint64_t>::iterator deadline;
};

// One address: its connection and the calls that use it.
class TcpTransport::Channel final : public OutgoingConnection {
 public:
  Channel(TcpTransport& transport, std::string address)
      : OutgoingConnection(transport.executor_, transport.flusher_,
                           {.connect = transport.options_.connect,
                            .handshake = transport.options_.handshake,
                            .make_stream = transport.options_.make_stream}),
        transport_(transport),
        address_(std::move(address)) {}

  // False: the call cannot be sent, with the reason in `why`.
  bool send(std::uint64_t id, const Uuid& expected, WireMessage message, Error& why) {
    const std::size_t queued = waiting_bytes_ + queued_bytes();
    const TcpTransportOptions& options = transport_.options_;
    if (outstanding_.size() >= options.calls_per_connection || queued + message.bytes() > options.queue_bytes) {
      why = {ErrorCode::overloaded, "too many calls to " + address_};
      return false;
    }
    if (connected() && !check_call(expected, why)) return false;
    outstanding_.insert(id);
    if (connected()) {
      OutgoingConnection::send(FrameKind::request, id, std::move(message));
      return true;
    }
    waiting_bytes_ += message.bytes();
    waiting_.push_back({.id = id, .expected = expected, .message = std::move(message)});
    if (idle()) connect(address_);
    return true;
  }

  void forget(std::uint64_t id) { outstanding_.erase(id); }
  bool unused() const { return outstanding_.empty(); }

 private:
  struct Waiting {
    std::uint64_t id;
    Uuid expected;
    WireMessage message;
  };

  // Whether the node at the other end is the one that a call means.
  bool check_call(const Uuid& expected, Error& why) const {
    const Uuid& ring = transport_.options_.ring;
    if (!expected.is_nil() && expected != handshake_.node) {
      why = {ErrorCode::wrong_identity, "node " + handshake_.node.text() + " answers at " + address_};
      return false;
    }
    if (!ring.is_nil() && !handshake_.ring.is_nil() && ring != handshake_.ring) {
      why = {ErrorCode::foreign_ring, "the node at " + address_ + " belongs to ring " + handshake_.ring.text()};
      return false;
    }
    return true;
  }

  Handshake own_handshake() override {
    return {.role = PeerRole::client,
            .node = transport_.client_,
            .incarnation = {},
            .ring = transport_.options_.ring,
            .table_version = 0,
            .stamp = wall_time(),
            .expected = {},  // checked for each call: they may differ
            .address = {}};
  }

  Status check(const Handshake& handshake) override {
    if (handshake.role != PeerRole::node) return fail(ErrorCode::corrupt, "not a node answers at " + address_);
    return {};
  }

  void handshake_done(const Handshake& handshake) override {
    handshake_ = handshake;
    transport_.heard(address_, handshake_.stamp);
    waiting_bytes_ = 0;
    std::vector<Waiting> waiting = std::exchange(waiting_, {});
    for (Waiting& item : waiting) {
      if (stopped() || !connected()) return;  // ended by a caller in between: all were told
      Error why;
      if (!outstanding_.contains(item.id)) continue;  // its deadline passed
      if (check_call(item.expected, why)) {
        OutgoingConnection::send(FrameKind::request, item.id, std::move(item.message));
      } else {
        transport_.finish(item.id, failure(why.code, why.context));
      }
    }
  }

  void received(ReceivedFrame frame) override {
    if (frame.header.kind == FrameKind::recall) {
      recalled(frame);
      return;
    }
    if (frame.header.kind != FrameKind::response) {
      end({ErrorCode::corrupt, "a frame that does not belong here"});
      return;
    }
    Result<Response> response = decode_response(frame);
    if (!response) {
      end(response.error());
      return;
    }
    transport_.heard(address_, response->stamp);
    // An answer after the call's deadline is dropped.
    if (outstanding_.contains(frame.header.request))
      transport_.finish(frame.header.request, std::move(response->result));
  }

  void recalled(const ReceivedFrame& frame) {
    Result<Recall> recall = decode_recall(frame);
    if (!recall) {
      end(recall.error());
      return;
    }
    if (!transport_.recall_ || recall->client != transport_.client_) return;
    const std::weak_ptr<OutgoingConnection> weak = weak_from_this();
    transport_.recall_(*recall, [this, weak, said = *recall] {
      const std::shared_ptr<OutgoingConnection> self = weak.lock();
      if (self && !stopped() && connected()) OutgoingConnection::send(FrameKind::release, 0, encode(said));
    });
  }

  void lost(const Error& why, bool) override {
    waiting_.clear();
    waiting_bytes_ = 0;
    bool named = why.code == ErrorCode::wrong_identity || why.code == ErrorCode::foreign_ring ||
                 why.code == ErrorCode::version_mismatch;
    ErrorCode code = named || not_reached(why.code) ? why.code : ErrorCode::unreachable;
    std::string context = address_ + ": " + (named || not_reached(why.code) ? why.context : why.text());
    // A caller that is told may call again at once: that call is not among these.
    for (std::uint64_t id : std::exchange(outstanding_, {})) {
      if (!stopped()) transport_.finish(id, failure(code, context));
    }
  }

  TcpTransport& transport_;  // not used after stop()
  const std::string address_;
  Handshake handshake_;           // when connected
  std::vector<Waiting> waiting_;  // for the connection
  std::size_t waiting_bytes_ = 0;
  std::set<std::uint64_t> outstanding_;  // waiting or sent
};

// ---- TcpTransport ----------------------------------------------------------------------------------

TcpTransport::TcpTransport(const boost::asio::any_io_executor& executor, Random& random, TcpTransportOptions options)
    : executor_(executor), random_(random), options_(std::move(options)), flusher_(executor), timer_(executor, [this] {
        expire();
      }) {}

TcpTransport::~TcpTransport() {
  stop();
  *alive_ = false;
}

void TcpTransport::stop() {
  stopped_ = true;
  timer_.stop();
  auto channels = std::exchange(channels_, {});
  // A client that ends holds no lease any more: nobody need wait for the end of one.
  Release all{.client = client_, .partition = {}, .term = 0, .number = UINT64_MAX, .everything = true, .rows = {}};
  for (auto& [address, channel] : channels) {
    if (client_.is_nil())
      channel->stop();
    else
      channel->stop_with(FrameKind::release, encode(all));
  }
  auto calls = std::exchange(calls_, {});
  deadlines_.clear();
  for (auto& [id, call] : calls) {
    boost::asio::get_associated_cancellation_slot(call.handler).clear();
    refuse(std::move(call.handler), ErrorCode::cancelled, "the transport was stopped");
  }
}

Task<OperationResult> TcpTransport::call(std::string address, Uuid expected, Operation operation, TimePoint deadline) {
  auto initiate = [](auto handler, TcpTransport* self, const std::string* to, const Uuid* whom, const Operation* what,
                     TimePoint until) { self->begin(std::move(handler), *to, *whom, *what, until); };
  // Named before the await: see CONTRIBUTING.md#coroutines. The pointers live in this coroutine's frame.
  TcpTransport* self = this;
  const std::string* to = &address;
  const Uuid* whom = &expected;
  const Operation* what = &operation;
  OperationResult result =
      co_await boost::asio::async_initiate<const boost::asio::use_awaitable_t<>, void(OperationResult)>(
          std::move(initiate), boost::asio::use_awaitable, self, to, whom, what, deadline);
  co_return result;
}

void TcpTransport::begin(Handler handler, const std::string& address, const Uuid& expected, const Operation& operation,
                         TimePoint deadline) {
  if (stopped_) return refuse(std::move(handler), ErrorCode::cancelled, "the transport was stopped");
  if (deadline <= now()) return refuse(std::move(handler), ErrorCode::timeout, "the deadline has passed");
  WireMessage message = encode(operation);
  if (message.bytes() > max_frame_bytes) {
    return refuse(std::move(handler), ErrorCode::too_large, "an operation larger than a frame");
  }
  std::shared_ptr<Channel> channel = channel_to(address);
  if (!channel) return refuse(std::move(handler), ErrorCode::overloaded, "too many connections");
  std::uint64_t id = next_call_++;
  Error why;
  if (!channel->send(id, expected, std::move(message), why)) return refuse(std::move(handler), why.code, why.context);
  auto slot = boost::asio::get_associated_cancellation_slot(handler);
  auto entry = deadlines_.emplace(deadline, id);
  calls_.emplace(id, Call{.handler = std::move(handler), .channel = std::move(channel), .deadline = entry});
  timer_.wake_at(deadline);
  if (slot.is_connected()) {
    slot.assign([this, id](boost::asio::cancellation_type) {
      // Posted: the caller's handler must not run inside its cancellation.
      boost::asio::post(executor_, [this, id, alive = alive_] {
        if (*alive) finish(id, failure(ErrorCode::cancelled, "the caller went away"));
      });
    });
  }
}

std::shared_ptr<TcpTransport::Channel> TcpTransport::channel_to(const std::string& address) {
  auto found = channels_.find(address);
  if (found != channels_.end()) return found->second;
  if (channels_.size() >= options_.connections) {
    auto unused =
        std::find_if(channels_.begin(), channels_.end(), [](const auto& item) { return item.second->unused(); });
    if (unused == channels_.end()) return nullptr;
    unused->second->stop();
    heard_times_.erase(unused->first);
    channels_.erase(unused);
  }
  return channels_.emplace(address, std::make_shared<Channel>(*this, address)).first->second;
}

void TcpTransport::finish(std::uint64_t id, OperationResult result) {
  auto found = calls_.find(id);
  if (found == calls_.end()) return;
  Call call = std::move(found->second);
  calls_.erase(found);
  deadlines_.erase(call.deadline);
  call.channel->forget(id);
  boost::asio::get_associated_cancellation_slot(call.handler).clear();
  // On the loop already: the caller goes on right here, without another turn.
  boost::asio::dispatch(executor_, [handler = std::move(call.handler), result = std::move(result)]() mutable {
    std::move(handler)(std::move(result));
  });
}

void TcpTransport::refuse(Handler handler, ErrorCode code, std::string context) {
  boost::asio::post(executor_, [handler = std::move(handler), result = failure(code, std::move(context))]() mutable {
    std::move(handler)(std::move(result));
  });
}

void TcpTransport::expire() {
  TimePoint time = now();
  while (!deadlines_.empty() && deadlines_.begin()->first <= time) {
    finish(deadlines_.begin()->second, failure(ErrorCode::timeout, "no answer in time"));
  }
  if (!deadlines_.empty()) timer_.wake_at(deadlines_.begin()->first);
}

Task<void> TcpTransport::sleep(Duration duration) {
  boost::asio::steady_timer timer(executor_);
  timer.expires_after(duration);
  // A cancelled sleep ends early; the caller's own deadline or cancellation decides what happens then.
  boost::system::error_code ignored;
  co_await timer.async_wait(boost::asio::redirect_error(boost::asio::use_awaitable, ignored));
}

TimePoint TcpTransport::now() { return boot_time(); }

Stamp TcpTransport::ring_time() { return heard_times_.at(boot_time()).value_or(wall_time()); }

void TcpTransport::heard(const std::string& address, Stamp stamp) { heard_times_.heard(address, stamp, boot_time()); }

}  // namespace ringfs::dht

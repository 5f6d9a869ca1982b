// Connections of the gateway: accepting, the handshake, reading a request, sending its answer, and the limits on each.
#include "nodes/rest/gateway.hpp"

#include <spdlog/spdlog.h>

#include <array>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/write.hpp>
#include <list>

#include "dht/net/sockets/dial.hpp"
#include "dht/net/sockets/listener.hpp"
#include "dht/net/sockets/peer_user.hpp"
#include "dht/net/transport/log_limit.hpp"
#include "nodes/rest/origin.hpp"
#include "nodes/rest/time_limit.hpp"
#include "nodes/rest/web_stream.hpp"

namespace ringfs::nodes {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using asio::ip::tcp;
using SteadyTime = std::chrono::steady_clock::time_point;

namespace {

constexpr std::uint32_t header_limit_bytes = 16 * 1024;
// How much is read and dropped after a refusal: enough for a client that reads only after it has sent a value that is
// somewhat too large.
constexpr std::size_t drop_limit_bytes = 4 << 20;
constexpr Duration drop_limit = std::chrono::seconds(1);
constexpr Duration cancel_repeat = std::chrono::milliseconds(50);
constexpr std::size_t first_read_bytes = 4 << 10;

using Parser = http::request_parser<http::string_body>;

Duration until(SteadyTime time) {
  return std::max(Duration(0), std::chrono::duration_cast<Duration>(time - std::chrono::steady_clock::now()));
}

// Both ends of a connection, IPv4 as such, and IPv6 without a zone, which nobody writes in a Host header.
struct Ends {
  tcp::endpoint local, remote;
};

tcp::endpoint plainly(const tcp::endpoint& end) {
  asio::ip::address address = dht::unmapped(end.address());
  if (address.is_v6()) address = asio::ip::address_v6(address.to_v6().to_bytes());
  return {address, end.port()};
}

Result<Ends> ends_of(const tcp::socket& socket) {
  boost::system::error_code gone;
  Ends ends;
  ends.local = socket.local_endpoint(gone);
  if (!gone) ends.remote = socket.remote_endpoint(gone);
  if (gone) return fail(ErrorCode::access_denied, "it is closed");
  ends.local = plainly(ends.local);
  ends.remote = plainly(ends.remote);
  return ends;
}

// A connection of nobody in particular, in its source's share until somebody is known or it ends.
class Share {
 public:
  Share(dht::HandshakeShares& shares, asio::ip::address address) : shares_(&shares), address_(std::move(address)) {}
  Share(Share&& other) noexcept : shares_(std::exchange(other.shares_, nullptr)), address_(std::move(other.address_)) {}
  Share& operator=(Share&&) = delete;
  ~Share() {
    if (shares_ != nullptr) shares_->end(address_);
  }

 private:
  dht::HandshakeShares* shares_;
  asio::ip::address address_;
};

struct Session {
  WebStream stream;
  Ends ends;
  ServerNames names;
  std::optional<Share> share = {};  // nobody is known
  SteadyTime known_by = {};         // while nobody is known
  bool under_way = false;           // a request is being read or answered

  std::string peer() const { return dht::join_address(ends.remote); }
  Duration limit(Duration usual) const { return share ? std::min(usual, until(known_by)) : usual; }
};

// What a request that was read has besides itself.
struct Received {
  Caller caller;
  std::optional<RequestRefusal> refusal;
};

}  // namespace

// Shared by the sessions: one that outlives the gateway keeps what it uses.
class RestGateway::Implementation : public std::enable_shared_from_this<RestGateway::Implementation> {
 public:
  Implementation(const asio::any_io_executor& executor, ObjectStore& store, RingView& ring, RingAdmin& admin,
                 std::function<std::string()> metrics, RestOptions options)
      : executor_(executor),
        acceptor_(executor),
        idle_(executor),
        options_(std::move(options)),
        context_{store,
                 ring,
                 admin,
                 std::move(metrics),
                 options_.operation_timeout,
                 options_.in_ring,
                 options_.role_of_bearer},
        checks_{options_.role_of_certificate, options_.role_of_bearer, context_.sessions, store},
        shares_(options_.is_member_address) {}

  void start(dht::Listener listener) {
    acceptor_ = std::move(listener.acceptor);
    spawn(accept_loop(shared_from_this()));
  }

  const dht::RefusalCounts& refusals() const { return refusals_; }

  Task<void> stop() {
    stopping_ = true;
    boost::system::error_code ignored;  // it may be closed already
    acceptor_.close(ignored);
    while (running_ > 0) {
      for (Session* session : sessions_) {
        if (!session->under_way) session->stream.socket().cancel(ignored);
      }
      // Again: an operation of TLS that consists of several may have been between two of them.
      idle_.expires_after(cancel_repeat);
      boost::system::error_code woken;
      co_await idle_.async_wait(asio::redirect_error(asio::use_awaitable, woken));
    }
  }

 private:
  using Self = std::shared_ptr<Implementation>;

  void spawn(Task<void> task) {
    ++running_;
    asio::co_spawn(executor_, std::move(task), [self = shared_from_this()](const std::exception_ptr&) {
      // Sessions report errors to their clients; an exception here is a broken connection.
      if (--self->running_ == 0) self->idle_.cancel();
    });
  }

  // ---- Accepting ----

  static Task<void> accept_loop(Self self) {
    while (!self->stopping_) {
      boost::system::error_code error;
      tcp::socket socket(self->executor_);
      co_await self->acceptor_.async_accept(socket, asio::redirect_error(asio::use_awaitable, error));
      if (self->stopping_) break;
      if (error) {  // most likely out of descriptors: wait until some connections end
        asio::steady_timer pause(self->executor_, std::chrono::milliseconds(100));
        co_await pause.async_wait(asio::redirect_error(asio::use_awaitable, error));
        continue;
      }
      socket.set_option(tcp::no_delay(true), error);
      self->accepted(std::move(socket));
    }
  }

  void accepted(tcp::socket socket) {
    Result<Ends> ends = ends_of(socket);
    if (!ends) return;  // it is closed already
    if (options_.is_plain(ends->local.address())) {
      accepted_plain(std::move(socket), *ends);
    } else {
      accepted_encrypted(std::move(socket), *ends);
    }
  }

  // The kernel is asked once: whose a socket is does not change, and a client may close its half before its request is
  // read.
  void accepted_plain(tcp::socket socket, const Ends& ends) {
    const bool anybody = options_.open_loopback && ends.remote.address().is_loopback();
    const bool room = sessions_.size() < options_.max_connections;
    Status served = room ? Status() : fail(ErrorCode::overloaded, "too many connections");
    if (served && !anybody) served = dht::LocalPeer(ends.local, ends.remote).served();
    if (served) {
      spawn(session(shared_from_this(), std::move(socket), ends, nullptr));
      return;
    }
    refused(room ? dht::RefusalReason::user : dht::RefusalReason::limit, dht::join_address(ends.remote),
            served.error().text());
    if (turned_away_ < options_.max_turned_away) {
      const http::status status = room ? http::status::forbidden : http::status::service_unavailable;
      spawn(turn_away(shared_from_this(), std::move(socket), error_of(11, status, served.error())));
    }  // otherwise the socket is closed without an answer
  }

  void accepted_encrypted(tcp::socket socket, const Ends& ends) {
    const std::string peer = dht::join_address(ends.remote);
    std::shared_ptr<const dht::TlsContext> context = options_.tls();
    if (!context) return refused(dht::RefusalReason::no_tls, peer, "this node has no certificate yet");
    if (sessions_.size() >= options_.max_connections) {
      return refused(dht::RefusalReason::limit, peer, "too many connections");
    }
    if (!shares_.begin(ends.remote.address())) {
      return refused(dht::RefusalReason::limit, peer, "too many connections of which nobody is known");
    }
    spawn(session(shared_from_this(), std::move(socket), ends, std::move(context)));
  }

  // ---- Sessions ----

  // `context`: null for a plain one. Otherwise a share was begun.
  static Task<void> session(Self self, tcp::socket socket, Ends ends, std::shared_ptr<const dht::TlsContext> context) {
    Session session{.stream = {std::move(socket), context}, .ends = ends, .names = self->names_for(ends)};
    if (context) {
      session.share.emplace(self->shares_, ends.remote.address());
      session.known_by = std::chrono::steady_clock::now() + self->options_.handshake_limit;
      session.names.encrypted = true;
    }
    auto place = self->sessions_.insert(self->sessions_.end(), &session);
    bool keep = true;
    if (context) keep = co_await shake_hands(self, session);
    beast::flat_buffer buffer;
    while (keep && !self->stopping_) keep = co_await exchange(self, session, buffer);
    self->sessions_.erase(place);
    session.stream.shutdown_send();
  }

  ServerNames names_for(const Ends& ends) const {
    ServerNames names;
    names.addresses.push_back(dht::join_address(ends.local));
    if (!options_.advertised.empty()) names.addresses.push_back(options_.advertised);
    return names;
  }

  static Task<bool> shake_hands(const Self& self, Session& session) {
    Status done;
    {
      TimeLimit timer(session.stream.socket(), session.limit(self->options_.handshake_limit));
      done = co_await session.stream.handshake();
      if (!done && timer.expired()) done = fail(ErrorCode::timeout, "the handshake took too long");
    }
    if (!done) {
      if (!self->stopping_) self->refused(dht::RefusalReason::handshake, session.peer(), done.error().text());
      if (session.stream.met_plain_text()) co_await say_plainly(self, session, done.error());
      co_return false;
    }
    if (session.stream.certificate()) {
      const Caller caller = caller_of(self->checks_, session.stream.certificate(), session.stream.chain());
      if (caller.role) session.share.reset();
    }
    co_return true;
  }

  // To somebody who speaks plain HTTP to a port of TLS.
  static Task<void> say_plainly(const Self& self, Session& session, Error why) {
    RestResponse response = error_of(11, http::status::bad_request, why);
    response.keep_alive(false);
    bool sent = co_await send(session.stream.socket(), session.stream.socket(), std::move(response), drop_limit);
    session.stream.shutdown_send();
    if (sent) co_await drop_rest(self, session.stream.socket());
  }

  static Task<void> turn_away(Self self, tcp::socket socket, RestResponse response) {
    ++self->turned_away_;
    response.keep_alive(false);
    bool sent = co_await send(socket, socket, std::move(response), drop_limit);
    boost::system::error_code ignored;  // the client may be gone
    socket.shutdown(tcp::socket::shutdown_send, ignored);
    if (sent) co_await drop_rest(self, socket);
    --self->turned_away_;
  }

  // Sends a response; false if that failed.
  template <class Stream>
  static Task<bool> send(Stream& stream, tcp::socket& socket, RestResponse response, Duration limit) {
    response.set("X-Content-Type-Options", "nosniff");
    boost::system::error_code error;
    TimeLimit timer(socket, limit);
    co_await http::async_write(stream, response, asio::redirect_error(asio::use_awaitable, error));
    co_return !error;
  }

  // Reads and drops after a refusal, until the client closes: it reads the answer first.
  static Task<void> drop_rest(const Self& self, tcp::socket& socket) {
    boost::system::error_code error;
    std::array<char, 16 << 10> bytes;
    std::size_t dropped = 0;
    TimeLimit timer(socket, drop_limit);
    while (!error && !timer.expired() && !self->stopping_ && dropped < drop_limit_bytes) {
      dropped += co_await socket.async_read_some(asio::buffer(bytes), asio::redirect_error(asio::use_awaitable, error));
    }
  }

  // Waits for the first byte of a request; false if none comes.
  static Task<bool> request_begins(const Self& self, Session& session, beast::flat_buffer& buffer) {
    if (buffer.size() > 0) co_return true;  // the client did not wait for the last answer
    boost::system::error_code error;
    TimeLimit timer(session.stream.socket(), session.limit(self->options_.idle_timeout));
    if (session.stream.encrypted()) {  // what waits in the socket may be no part of a request
      const asio::mutable_buffer room = buffer.prepare(first_read_bytes);
      const std::size_t size =
          co_await session.stream.async_read_some(room, asio::redirect_error(asio::use_awaitable, error));
      buffer.commit(size);
    } else {
      co_await session.stream.socket().async_wait(tcp::socket::wait_read,
                                                  asio::redirect_error(asio::use_awaitable, error));
    }
    const bool begins = !error && !timer.expired();
    if (!begins && session.share && timer.expired()) {
      self->refused(dht::RefusalReason::slow, session.peer(), "no request came in time");
    }
    co_return begins;
  }

  // A request and its response; false: close the connection.
  static Task<bool> exchange(const Self& self, Session& session, beast::flat_buffer& buffer) {
    bool begins = co_await request_begins(self, session, buffer);
    if (!begins) co_return false;
    session.under_way = true;
    Parser parser;
    parser.header_limit(header_limit_bytes);
    parser.body_limit(max_value_bytes);
    Received received = co_await receive(self, session, buffer, parser);
    if (received.refusal) {
      const std::string why = received.caller.role ? std::string() : received.caller.why.context;
      self->refused(received.refusal->reason, session.peer(),
                    std::string(to_string(received.refusal->reason)) + (why.empty() ? "" : ": " + why));
      co_await refuse(self, session, std::move(received.refusal->response));
      co_return false;
    }
    if (!parser.is_done()) co_return false;  // the client closed
    bool keep = parser.get().keep_alive() && !session.share;
    bool head = parser.get().method() == http::verb::head;
    RestRequest request = parser.release();
    RestResponse response = co_await answer(self->context_, std::move(request), std::move(received.caller));
    // A token that did not let its sender in.
    if (response.result() == http::status::unauthorized) {
      self->refused(dht::RefusalReason::token, session.peer(), "it logs in with a token that does not count");
    }
    keep = keep && !self->stopping_;
    response.keep_alive(keep);
    if (!session.share) response.set(http::field::server, "ringfs/" RINGFS_VERSION);
    if (head) response.body().clear();  // Content-Length stays: RFC 9110, 9.3.2
    bool sent = co_await send(session.stream, session.stream.socket(), std::move(response),
                              session.share ? drop_limit : self->options_.idle_timeout);
    session.under_way = false;
    co_return keep&& sent;
  }

  static Task<void> refuse(const Self& self, Session& session, RestResponse response) {
    response.keep_alive(false);
    const Duration limit = session.share ? drop_limit : self->options_.idle_timeout;
    bool sent = co_await send(session.stream, session.stream.socket(), std::move(response), limit);
    session.stream.shutdown_send();
    if (sent) co_await drop_rest(self, session.stream.socket());
  }

  // Reads a request. Gives what to refuse it with. None although the parser is not done: the client closed before it
  // asked anything.
  static Task<Received> receive(const Self& self, Session& session, beast::flat_buffer& buffer, Parser& parser) {
    const SteadyTime end = std::chrono::steady_clock::now() + self->options_.request_timeout;
    Received received;
    boost::system::error_code error;
    bool late = false;
    std::size_t most = max_value_bytes;  // of the body
    {
      TimeLimit timer(session.stream.socket(), session.limit(until(end)));
      co_await http::async_read_header(session.stream, buffer, parser,
                                       asio::redirect_error(asio::use_awaitable, error));
      late = timer.expired();
    }
    if (!error) {
      co_await know(self, session, parser.get(), received);
      if (received.refusal) co_return received;
      if (!received.caller.role) most = max_stranger_body_bytes;
      parser.body_limit(most);  // of chunks; the parser compared a told length with the former limit
      if (parser.content_length().value_or(0) > most) {
        received.refusal = refusal_for(http::error::body_limit, most);
        co_return received;
      }
      TimeLimit timer(session.stream.socket(), session.limit(until(end)));
      if (parser.get()[http::field::expect] == "100-continue") {
        http::response<http::empty_body> go_on(http::status::continue_, parser.get().version());
        co_await http::async_write(session.stream, go_on, asio::redirect_error(asio::use_awaitable, error));
      }
      if (!error) {
        co_await http::async_read(session.stream, buffer, parser, asio::redirect_error(asio::use_awaitable, error));
      }
      late = timer.expired();
    }
    if (error && late) {
      received.refusal = RequestRefusal{
          dht::RefusalReason::slow,
          error_response(11, http::status::request_timeout, "timeout", "the request did not arrive in time")};
    } else if (error) {
      received.refusal = refusal_for(error, most);
    }
    co_return received;
  }

  // Who asks, whether it is meant for this server, and whether it may.
  static Task<void> know(const Self& self, Session& session, const RequestHead& head, Received& received) {
    const Status meant = check_origin(origin_of(head), session.names);
    if (!meant) {
      received.refusal =
          RequestRefusal{dht::RefusalReason::origin, error_of(head.version(), http::status::forbidden, meant.error())};
      co_return;
    }
    if (session.stream.encrypted()) {
      received.caller = co_await identify(self->checks_, head, session.stream.certificate(), session.stream.chain());
    } else {
      received.caller = local_caller();
    }
    if (received.caller.role) session.share.reset();
    received.refusal = refusal_of(head, received.caller);
  }

  // The answer to a request that cannot be read; none if the client just closed.
  static std::optional<RequestRefusal> refusal_for(const boost::system::error_code& error, std::size_t most) {
    const auto malformed = [](http::status status, std::string_view code, const std::string& reason) {
      return RequestRefusal{dht::RefusalReason::malformed, error_response(11, status, code, reason)};
    };
    if (error == http::error::body_limit) {
      return malformed(
          http::status::payload_too_large, "too_large",
          most == max_value_bytes ? "a value has at most 1 MiB" : "too much from somebody who is not known");
    }
    if (error == http::error::header_limit) {
      return malformed(http::status::request_header_fields_too_large, "too_large", "headers have at most 16 KiB");
    }
    if (error.category() != http::make_error_code(http::error::bad_method).category() ||
        error == http::error::end_of_stream) {
      return std::nullopt;
    }
    const bool cut = error == http::error::partial_message;
    return malformed(http::status::bad_request, "invalid_argument",
                     cut ? "the request is cut short" : "not an HTTP request: " + error.message());
  }

  static RequestOrigin origin_of(const RequestHead& request) {
    auto text = [&](auto field) { return std::string_view(request[field].data(), request[field].size()); };
    return {
        .host = text(http::field::host), .origin = text(http::field::origin), .sec_fetch_site = text("Sec-Fetch-Site")};
  }

  static RestResponse error_of(unsigned version, http::status status, const Error& why) {
    return error_response(version, status, to_string(why.code), why.context);
  }

  // A stranger can cause these lines at will.
  void refused(dht::RefusalReason reason, const std::string& peer, const std::string& why) {
    refusals_.add(reason);
    if (auto swallowed = refused_log_.allow(context_.store.clock().now)) {
      spdlog::warn("event=connection_refused interface=rest peer={} reason=\"{}\" unlogged={}", peer, why, *swallowed);
    }
  }

  asio::any_io_executor executor_;
  tcp::acceptor acceptor_;
  asio::steady_timer idle_;  // cancelled when the last session ends
  RestOptions options_;
  RestContext context_;
  CallerChecks checks_;
  dht::HandshakeShares shares_;
  std::list<Session*> sessions_;
  std::size_t turned_away_ = 0;  // connections that are being told why they are not served
  std::size_t running_ = 0;
  dht::RefusalCounts refusals_;
  dht::LogLimit refused_log_;
  bool stopping_ = false;
};

RestGateway::RestGateway(const asio::any_io_executor& executor, ObjectStore& store, RingView& ring, RingAdmin& admin,
                         std::function<std::string()> metrics, RestOptions options)
    : implementation_(
          std::make_shared<Implementation>(executor, store, ring, admin, std::move(metrics), std::move(options))) {}

RestGateway::~RestGateway() = default;

void RestGateway::start(dht::Listener listener) { implementation_->start(std::move(listener)); }

const dht::RefusalCounts& RestGateway::refusals() const { return implementation_->refusals(); }

Task<void> RestGateway::stop() { return implementation_->stop(); }

}  // namespace ringfs::nodes

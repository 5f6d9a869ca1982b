// Connections of the gateway: accepting, reading a request, sending its answer, and the limits on each.
#include "nodes/rest/gateway.hpp"

#include <array>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/write.hpp>
#include <list>

#include "dht/net/transport/listener.hpp"
#include "dht/net/transport/peer_user.hpp"
#include "nodes/rest/origin.hpp"
#include "nodes/rest/routes.hpp"

namespace ringfs::nodes {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using asio::ip::tcp;

namespace {

constexpr std::uint32_t header_limit_bytes = 16 * 1024;
// How much is read and dropped after a refusal: enough for a client that reads only after it has sent a value that is
// somewhat too large.
constexpr std::size_t drop_limit_bytes = 4 << 20;
constexpr Duration drop_limit = std::chrono::seconds(1);
constexpr auto limit_repeat = std::chrono::milliseconds(50);

// Cancels what a socket waits for when the time is up, again and again until it is destroyed: an operation that
// consists of several may be between two of them.
class TimeLimit {
 public:
  TimeLimit(tcp::socket& socket, Duration limit) : state_(std::make_shared<State>(socket)) {
    state_->timer.expires_after(limit);
    wait(state_);
  }
  ~TimeLimit() {
    state_->over = true;
    state_->timer.cancel();
  }
  TimeLimit(const TimeLimit&) = delete;
  TimeLimit& operator=(const TimeLimit&) = delete;
  bool expired() const { return state_->expired; }

 private:
  struct State {
    explicit State(tcp::socket& of) : socket(of), timer(of.get_executor()) {}
    tcp::socket& socket;  // exists until `over`
    asio::steady_timer timer;
    bool expired = false;
    bool over = false;
  };
  // Shared, because the last call of the timer may come after the TimeLimit is destroyed.
  static void wait(const std::shared_ptr<State>& state) {
    state->timer.async_wait([state](const boost::system::error_code&) {
      if (state->over) return;
      state->expired = true;
      boost::system::error_code ignored;  // a closed socket waits for nothing
      state->socket.cancel(ignored);
      state->timer.expires_after(limit_repeat);
      wait(state);
    });
  }
  std::shared_ptr<State> state_;
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
        context_{store, ring, admin, std::move(metrics), options_.operation_timeout, options_.in_ring} {
    idle_.expires_at(std::chrono::steady_clock::time_point::max());
  }

  void start(dht::Listener listener) {
    acceptor_ = std::move(listener.acceptor);
    address_ = std::move(listener.address);
    spawn(accept_loop(shared_from_this()));
  }

  std::uint64_t refused() const { return refused_; }

  Task<void> stop() {
    stopping_ = true;
    boost::system::error_code ignored;  // it may be closed already
    acceptor_.close(ignored);
    for (Session* session : sessions_) {
      if (!session->under_way) session->socket.cancel(ignored);
    }
    while (running_ > 0) {
      boost::system::error_code woken;
      co_await idle_.async_wait(asio::redirect_error(asio::use_awaitable, woken));
    }
  }

 private:
  using Self = std::shared_ptr<Implementation>;
  struct Session {
    tcp::socket socket;
    bool under_way = false;  // a request is being read or answered
  };

  void spawn(Task<void> task) {
    ++running_;
    asio::co_spawn(executor_, std::move(task), [self = shared_from_this()](const std::exception_ptr&) {
      // Sessions report errors to their clients; an exception here is a broken connection.
      if (--self->running_ == 0) self->idle_.cancel();
    });
  }

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
      std::optional<RestResponse> refusal = self->refusal_of(socket);
      if (refusal) ++self->refused_;
      if (!refusal) {
        self->spawn(session(self, std::move(socket)));
      } else if (self->turned_away_ < self->options_.max_turned_away) {
        self->spawn(turn_away(self, std::move(socket), std::move(*refusal)));
      }  // otherwise the socket is closed without an answer
    }
  }

  // Why a connection is not served. The kernel is asked once: whose a socket is does not change, and a client may close
  // its half before its request is read.
  std::optional<RestResponse> refusal_of(const tcp::socket& socket) const {
    if (sessions_.size() >= options_.max_connections) {
      return error_response(11, http::status::service_unavailable, "overloaded", "too many connections");
    }
    if (options_.open_loopback) return std::nullopt;
    boost::system::error_code gone;
    const tcp::endpoint local = socket.local_endpoint(gone);
    const tcp::endpoint remote = gone ? local : socket.remote_endpoint(gone);
    Status served = gone ? fail(ErrorCode::access_denied, "it is closed") : dht::LocalPeer(local, remote).served();
    if (served) return std::nullopt;
    return error_response(11, http::status::forbidden, to_string(served.error().code), served.error().context);
  }

  static Task<void> session(Self self, tcp::socket socket) {
    Session session{std::move(socket)};
    auto place = self->sessions_.insert(self->sessions_.end(), &session);
    beast::flat_buffer buffer;
    bool keep = true;
    while (keep && !self->stopping_) keep = co_await exchange(self, session, buffer);
    self->sessions_.erase(place);
    boost::system::error_code ignored;  // the client may be gone
    session.socket.shutdown(tcp::socket::shutdown_send, ignored);
  }

  static Task<void> turn_away(Self self, tcp::socket socket, RestResponse response) {
    ++self->turned_away_;
    response.keep_alive(false);
    co_await send(socket, std::move(response), drop_limit);
    co_await drop_rest(self, socket);
    --self->turned_away_;
  }

  // Sends a response; false if that failed.
  static Task<bool> send(tcp::socket& socket, RestResponse response, Duration limit) {
    response.set(http::field::server, "ringfs/" RINGFS_VERSION);
    boost::system::error_code error;
    TimeLimit timer(socket, limit);
    co_await http::async_write(socket, response, asio::redirect_error(asio::use_awaitable, error));
    co_return !error;
  }

  // Reads and drops after a refusal, until the client closes: it reads the answer first.
  static Task<void> drop_rest(Self self, tcp::socket& socket) {
    boost::system::error_code error;
    socket.shutdown(tcp::socket::shutdown_send, error);
    std::array<char, 16 << 10> bytes;
    std::size_t dropped = 0;
    TimeLimit timer(socket, drop_limit);
    while (!error && !timer.expired() && !self->stopping_ && dropped < drop_limit_bytes) {
      dropped += co_await socket.async_read_some(asio::buffer(bytes), asio::redirect_error(asio::use_awaitable, error));
    }
  }

  // Waits for the first byte of a request; false if none comes.
  static Task<bool> request_begins(const Self& self, Session& session, const beast::flat_buffer& buffer) {
    if (buffer.size() > 0) co_return true;  // the client did not wait for the last answer
    boost::system::error_code error;
    TimeLimit timer(session.socket, self->options_.idle_timeout);
    co_await session.socket.async_wait(tcp::socket::wait_read, asio::redirect_error(asio::use_awaitable, error));
    co_return !error && !timer.expired();
  }

  // A request and its response; false: close the connection.
  static Task<bool> exchange(const Self& self, Session& session, beast::flat_buffer& buffer) {
    bool begins = co_await request_begins(self, session, buffer);
    if (!begins) co_return false;
    session.under_way = true;
    http::request_parser<http::string_body> parser;
    parser.header_limit(header_limit_bytes);
    parser.body_limit(max_value_bytes);
    std::optional<RestResponse> refusal = co_await receive(self, session.socket, buffer, parser);
    if (refusal) {
      ++self->refused_;
      bool sent = co_await send(session.socket, std::move(*refusal), self->options_.idle_timeout);
      if (sent) co_await drop_rest(self, session.socket);
      co_return false;
    }
    if (!parser.is_done()) co_return false;  // the client closed
    bool keep = parser.get().keep_alive();
    bool head = parser.get().method() == http::verb::head;
    RestRequest request = parser.release();
    RestResponse response = co_await answer(self->context_, std::move(request));
    keep = keep && !self->stopping_;
    response.keep_alive(keep);
    if (head) response.body().clear();  // Content-Length stays: RFC 9110, 9.3.2
    bool sent = co_await send(session.socket, std::move(response), self->options_.idle_timeout);
    session.under_way = false;
    co_return keep&& sent;
  }

  // Reads a request. Gives what to refuse it with. None although the parser is not done: the client closed before it
  // asked anything.
  static Task<std::optional<RestResponse>> receive(const Self& self, tcp::socket& socket, beast::flat_buffer& buffer,
                                                   http::request_parser<http::string_body>& parser) {
    boost::system::error_code error;
    TimeLimit timer(socket, self->options_.request_timeout);
    co_await http::async_read_header(socket, buffer, parser, asio::redirect_error(asio::use_awaitable, error));
    if (!error) {
      Status meant = check_origin(origin_of(parser.get()), self->address_);
      if (!meant) co_return closing(parser.get().version(), http::status::forbidden, meant.error());
    }
    if (!error && parser.get()[http::field::expect] == "100-continue") {
      http::response<http::empty_body> go_on(http::status::continue_, parser.get().version());
      co_await http::async_write(socket, go_on, asio::redirect_error(asio::use_awaitable, error));
    }
    if (!error) co_await http::async_read(socket, buffer, parser, asio::redirect_error(asio::use_awaitable, error));
    if (!error) co_return std::nullopt;
    if (timer.expired()) {
      RestResponse late =
          error_response(11, http::status::request_timeout, "timeout", "the request did not arrive in time");
      late.keep_alive(false);
      co_return late;
    }
    co_return refusal_of(error);
  }

  // The answer to a request that cannot be read; none if the client just closed.
  static std::optional<RestResponse> refusal_of(const boost::system::error_code& error) {
    RestResponse response;
    if (error == http::error::body_limit) {
      response = error_response(11, http::status::payload_too_large, "too_large", "a value has at most 1 MiB");
    } else if (error == http::error::header_limit) {
      response =
          error_response(11, http::status::request_header_fields_too_large, "too_large", "headers have at most 16 KiB");
    } else if (error.category() == http::make_error_code(http::error::bad_method).category() &&
               error != http::error::end_of_stream) {
      bool cut = error == http::error::partial_message;
      response = error_response(11, http::status::bad_request, "invalid_argument",
                                cut ? "the request is cut short" : "not an HTTP request: " + error.message());
    } else {
      return std::nullopt;
    }
    response.keep_alive(false);
    return response;
  }

  static RequestOrigin origin_of(const http::request_header<>& request) {
    auto text = [&](auto field) { return std::string_view(request[field].data(), request[field].size()); };
    return {
        .host = text(http::field::host), .origin = text(http::field::origin), .sec_fetch_site = text("Sec-Fetch-Site")};
  }

  static RestResponse closing(unsigned version, http::status status, const Error& why) {
    RestResponse response = error_response(version, status, to_string(why.code), why.context);
    response.keep_alive(false);
    return response;
  }

  asio::any_io_executor executor_;
  tcp::acceptor acceptor_;
  std::string address_;      // of the acceptor
  asio::steady_timer idle_;  // cancelled when the last session ends
  RestOptions options_;
  RestContext context_;
  std::list<Session*> sessions_;
  std::size_t turned_away_ = 0;  // connections that are being told why they are not served
  std::size_t running_ = 0;
  std::uint64_t refused_ = 0;
  bool stopping_ = false;
};

RestGateway::RestGateway(const asio::any_io_executor& executor, ObjectStore& store, RingView& ring, RingAdmin& admin,
                         std::function<std::string()> metrics, RestOptions options)
    : implementation_(
          std::make_shared<Implementation>(executor, store, ring, admin, std::move(metrics), std::move(options))) {}

RestGateway::~RestGateway() = default;

void RestGateway::start(dht::Listener listener) { implementation_->start(std::move(listener)); }

std::uint64_t RestGateway::refused() const { return implementation_->refused(); }

Task<void> RestGateway::stop() { return implementation_->stop(); }

}  // namespace ringfs::nodes

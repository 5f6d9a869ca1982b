#include "nodes/rest_gateway.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/write.hpp>
#include <list>

#include "dht/net/listener.hpp"
#include "nodes/rest_routes.hpp"

namespace ringfs {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using asio::ip::tcp;

namespace {

constexpr std::uint32_t header_limit_bytes = 16 * 1024;

}  // namespace

// Shared by the sessions: one that still runs when the gateway goes keeps what it uses.
class RestGateway::Implementation : public std::enable_shared_from_this<RestGateway::Implementation> {
 public:
  Implementation(asio::any_io_executor executor, ObjectStore& store, RingView& ring, std::function<std::string()> metrics,
                 RestOptions options)
      : executor_(executor),
        acceptor_(executor),
        idle_(executor),
        options_(options),
        context_{store, ring, std::move(metrics), options.operation_timeout} {
    idle_.expires_at(std::chrono::steady_clock::time_point::max());
  }

  void start(Listener listener) {
    acceptor_ = std::move(listener.acceptor);
    spawn(accept_loop(shared_from_this()));
  }

  Task<void> stop() {
    stopping_ = true;
    boost::system::error_code ignored;  // closing what is closed already is fine
    acceptor_.close(ignored);
    for (beast::tcp_stream* stream : streams_) stream->close();
    while (running_ > 0) {
      boost::system::error_code woken;
      co_await idle_.async_wait(asio::redirect_error(asio::use_awaitable, woken));
    }
  }

 private:
  using Self = std::shared_ptr<Implementation>;

  void spawn(Task<void> task) {
    ++running_;
    asio::co_spawn(executor_, std::move(task), [self = shared_from_this()](const std::exception_ptr&) {
      // Sessions report their errors to their clients; what is left here is a connection that broke.
      if (--self->running_ == 0) self->idle_.cancel();
    });
  }

  static Task<void> accept_loop(Self self) {
    while (!self->stopping_) {
      boost::system::error_code error;
      tcp::socket socket(self->executor_);
      co_await self->acceptor_.async_accept(socket, asio::redirect_error(asio::use_awaitable, error));
      if (self->stopping_) break;
      if (error) {  // out of descriptors, most likely: let some connections end
        asio::steady_timer pause(self->executor_, std::chrono::milliseconds(100));
        co_await pause.async_wait(asio::redirect_error(asio::use_awaitable, error));
        continue;
      }
      socket.set_option(tcp::no_delay(true), error);
      self->spawn(session(self, std::move(socket)));
    }
  }

  static Task<void> session(Self self, tcp::socket socket) {
    beast::tcp_stream stream(std::move(socket));
    bool crowded = self->streams_.size() >= self->options_.max_connections;
    auto place = self->streams_.insert(self->streams_.end(), &stream);
    beast::flat_buffer buffer;
    bool keep = true;
    while (keep && !self->stopping_) keep = co_await exchange(self, stream, buffer, crowded);
    self->streams_.erase(place);
    boost::system::error_code ignored;  // the peer may be gone
    stream.socket().shutdown(tcp::socket::shutdown_send, ignored);
  }

  // One request and its response; false when the connection is to be closed.
  static Task<bool> exchange(const Self& self, beast::tcp_stream& stream, beast::flat_buffer& buffer, bool crowded) {
    boost::system::error_code error;
    http::request_parser<http::string_body> parser;
    parser.header_limit(header_limit_bytes);
    parser.body_limit(max_value_bytes);
    stream.expires_after(self->options_.idle_timeout);
    co_await http::async_read_header(stream, buffer, parser, asio::redirect_error(asio::use_awaitable, error));
    if (!error && parser.get()[http::field::expect] == "100-continue" && !crowded) {
      http::response<http::empty_body> go_on(http::status::continue_, parser.get().version());
      co_await http::async_write(stream, go_on, asio::redirect_error(asio::use_awaitable, error));
    }
    if (!error) co_await http::async_read(stream, buffer, parser, asio::redirect_error(asio::use_awaitable, error));
    unsigned version = 11;
    RestResponse response;
    if (error) {
      auto refusal = refusal_of(error);
      if (!refusal) co_return false;
      response = std::move(*refusal);
    } else if (crowded) {
      version = parser.get().version();
      response = error_response(version, http::status::service_unavailable, "overloaded", "too many connections");
      response.keep_alive(false);
    } else {
      bool keep_alive = parser.get().keep_alive();
      bool head = parser.get().method() == http::verb::head;
      RestRequest request = parser.release();
      stream.expires_never();
      response = co_await answer(self->context_, std::move(request));
      response.keep_alive(keep_alive);
      if (head) response.body().clear();  // Content-Length stays: RFC 9110, 9.3.2
    }
    response.set(http::field::server, "ringfs/" RINGFS_VERSION);
    stream.expires_after(self->options_.idle_timeout);
    bool keep = response.keep_alive();
    co_await http::async_write(stream, response, asio::redirect_error(asio::use_awaitable, error));
    co_return keep && !error;
  }

  // What a client that sent something unreadable is told; nothing when it just went away.
  static std::optional<RestResponse> refusal_of(const boost::system::error_code& error) {
    RestResponse response;
    if (error == http::error::body_limit) {
      response = error_response(11, http::status::payload_too_large, "too_large", "a value has at most 1 MiB");
    } else if (error == http::error::header_limit) {
      response = error_response(11, http::status::request_header_fields_too_large, "too_large", "headers have at most 16 KiB");
    } else if (error.category() == http::make_error_code(http::error::bad_method).category() &&
               error != http::error::end_of_stream && error != http::error::partial_message) {
      response = error_response(11, http::status::bad_request, "invalid_argument", "not an HTTP request: " + error.message());
    } else {
      return std::nullopt;
    }
    response.keep_alive(false);
    return response;
  }

  asio::any_io_executor executor_;
  tcp::acceptor acceptor_;
  asio::steady_timer idle_;  // cancelled when the last session ends
  RestOptions options_;
  RestContext context_;
  std::list<beast::tcp_stream*> streams_;
  std::size_t running_ = 0;
  bool stopping_ = false;
};

RestGateway::RestGateway(asio::any_io_executor executor, ObjectStore& store, RingView& ring,
                         std::function<std::string()> metrics, RestOptions options)
    : implementation_(std::make_shared<Implementation>(executor, store, ring, std::move(metrics), options)) {}

RestGateway::~RestGateway() = default;

void RestGateway::start(Listener listener) {
  implementation_->start(std::move(listener));
}

Task<void> RestGateway::stop() { return implementation_->stop(); }

}  // namespace ringfs

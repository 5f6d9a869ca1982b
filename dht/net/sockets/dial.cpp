// One attempt to connect: the name, then each of its addresses.
#include "dht/net/sockets/dial.hpp"

#include "dht/net/sockets/local_socket.hpp"
#include "dht/net/sockets/name_resolver.hpp"

#include <algorithm>
#include <boost/asio/connect.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

namespace ringfs::dht {

using boost::asio::ip::tcp;

Result<HostPort> split_address(const std::string& address) {
  std::size_t colon = address.rfind(':');
  if (colon == std::string::npos) return fail(ErrorCode::invalid_argument, "'" + address + "' is not host:port");
  HostPort result{.host = address.substr(0, colon), .port = address.substr(colon + 1)};
  bool bracketed = result.host.size() > 2 && result.host.front() == '[' && result.host.back() == ']';
  if (bracketed) result.host = result.host.substr(1, result.host.size() - 2);
  bool digits = !result.port.empty() && result.port.size() <= 5 &&
                result.port.find_first_not_of("0123456789") == std::string::npos;
  if (result.host.empty() || !digits || std::stoul(result.port) > 65535) {
    return fail(ErrorCode::invalid_argument, "'" + address + "' is not host:port");
  }
  if (!bracketed && result.host.find(':') != std::string::npos) {
    return fail(ErrorCode::invalid_argument, "an IPv6 address needs brackets: '" + address + "'");
  }
  return result;
}

std::vector<std::string> hosts_of(const std::vector<std::string>& addresses) {
  std::vector<std::string> hosts;
  for (const std::string& address : addresses) {
    Result<HostPort> parts = split_address(address);
    if (parts && std::find(hosts.begin(), hosts.end(), parts->host) == hosts.end())
      hosts.push_back(std::move(parts->host));
  }
  return hosts;
}

std::optional<tcp::endpoint> numeric_endpoint(const std::string& address) {
  const Result<HostPort> parts = split_address(address);
  if (!parts) return std::nullopt;
  boost::system::error_code not_numeric;
  const auto host = boost::asio::ip::make_address(parts->host, not_numeric);
  if (not_numeric) return std::nullopt;
  return tcp::endpoint(host, static_cast<std::uint16_t>(std::stoul(parts->port)));
}

bool is_of_this_machine(const std::string& address) {
  const Result<HostPort> parts = split_address(address);
  if (!parts) return false;
  const std::optional<tcp::endpoint> numeric = numeric_endpoint(address);
  return numeric ? numeric->address().is_loopback() : parts->host == "localhost";
}

std::string join_address(const tcp::endpoint& endpoint) {
  std::string host = endpoint.address().to_string();
  if (endpoint.address().is_v6()) host = "[" + host + "]";
  return host + ":" + std::to_string(endpoint.port());
}

namespace {

class Attempt : public Dial, public std::enable_shared_from_this<Attempt> {
 public:
  Attempt(const boost::asio::any_io_executor& executor, DialDone done)
      : socket_(executor), timer_(executor), done_(std::move(done)) {}

  void start(const std::string& address, Duration limit, LocalSockets beside) {
    auto self = shared_from_this();
    Result<HostPort> parts = split_address(address);
    if (!parts) {
      boost::asio::post(socket_.get_executor(), [self, error = parts.error()] { self->finish(tl::unexpected(error)); });
      return;
    }
    timer_.expires_after(limit);
    timer_.async_wait([self](boost::system::error_code error) {
      if (!error) self->finish(fail(ErrorCode::unreachable, "no connection in time"));
    });
    if (const std::optional<tcp::endpoint> endpoint = numeric_endpoint(address)) {
      std::optional<Socket> local;
      if (beside == LocalSockets::taken) local = connect_beside(socket_.get_executor(), *endpoint);
      if (local) {
        boost::asio::post(socket_.get_executor(), [self, socket = std::make_shared<Socket>(std::move(*local))] {
          self->finish(std::move(*socket));
        });
        return;
      }
      socket_.async_connect(*endpoint, [self](boost::system::error_code error) { self->connected(error); });
      return;
    }
    auto& resolver = boost::asio::use_service<NameResolver>(
        boost::asio::query(socket_.get_executor(), boost::asio::execution::context));
    const auto port = static_cast<std::uint16_t>(std::stoul(parts->port));
    // Alive until it is done: by its timer.
    resolver.resolve(parts->host, socket_.get_executor(), weak_from_this(),
                     [this, port](const Result<NameResolver::Addresses>& found) { resolved(found, port); });
  }

  void cancel() override {
    done_ = nullptr;
    release();
  }

 private:
  void resolved(const Result<NameResolver::Addresses>& found, std::uint16_t port) {
    const auto self = shared_from_this();
    if (!done_) return;
    if (!found) {
      finish(tl::unexpected<Error>(found.error()));
      return;
    }
    for (const boost::asio::ip::address& address : *found) endpoints_.emplace_back(address, port);
    boost::asio::async_connect(socket_, endpoints_,
                               [self = shared_from_this()](boost::system::error_code failure, const tcp::endpoint&) {
                                 self->connected(failure);
                               });
  }

  void connected(boost::system::error_code error) {
    if (!done_) return;
    if (error) {
      const bool refused = error == boost::asio::error::connection_refused;
      finish(fail(refused ? ErrorCode::connection_refused : ErrorCode::unreachable, error.message()));
    } else {
      finish(Socket(std::move(socket_)));
    }
  }

  void finish(Result<Socket> result) {
    if (!done_) return;
    DialDone done = std::exchange(done_, nullptr);
    if (!result) release();
    timer_.cancel();
    done(std::move(result));
  }

  void release() {
    boost::system::error_code ignored;  // closing has no failure that anybody could act on
    timer_.cancel();
    socket_.close(ignored);
  }

  tcp::socket socket_;
  std::vector<tcp::endpoint> endpoints_;
  boost::asio::steady_timer timer_;
  DialDone done_;
};

}  // namespace

std::shared_ptr<Dial> dial(const boost::asio::any_io_executor& executor, const std::string& address, Duration limit,
                           DialDone done, LocalSockets local) {
  auto attempt = std::make_shared<Attempt>(executor, std::move(done));
  attempt->start(address, limit, local);
  return attempt;
}

}  // namespace ringfs::dht

// Connecting to host:port without blocking: numeric addresses at once, names through the loop's
// NameResolver.
//
// Threads: one loop. `done` is called once, never from inside dial(); after cancel() never. Errors: unreachable (also
// when the time limit passes), invalid_argument (not host:port), overloaded (too many names are being looked up).
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "dht/base/error.hpp"
#include "dht/base/time.hpp"
#include "dht/net/sockets/stream.hpp"

namespace ringfs::dht {

struct HostPort {
  std::string host;  // without brackets
  std::string port;
};
// "127.0.0.1:4001", "[::1]:4001", "name:4001". Errors: invalid_argument.
Result<HostPort> split_address(const std::string& address);
// The hosts of these addresses, each once; of what is no address none.
std::vector<std::string> hosts_of(const std::vector<std::string>& addresses);
// Of an address with a numeric host; nothing: it has a name.
std::optional<boost::asio::ip::tcp::endpoint> numeric_endpoint(const std::string& address);
// Whether nobody but this machine reaches it: a loopback number, or localhost.
bool is_of_this_machine(const std::string& address);
// "host:port" with brackets where the host needs them.
std::string join_address(const boost::asio::ip::tcp::endpoint& endpoint);

class Dial {
 public:
  virtual ~Dial() = default;
  virtual void cancel() = 0;
};

// Whether the UNIX socket beside the address is taken when there is one (local_socket.hpp).
enum class LocalSockets : std::uint8_t { taken, avoided };

using DialDone = std::function<void(Result<Socket>)>;
std::shared_ptr<Dial> dial(const boost::asio::any_io_executor& executor, const std::string& address, Duration limit,
                           DialDone done, LocalSockets local = LocalSockets::taken);

}  // namespace ringfs::dht

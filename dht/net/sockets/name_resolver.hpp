// Names to addresses, without letting one slow name hold up the others.
//
// getaddrinfo blocks, for half a minute when a name server does not answer, and Asio's resolver asks for one name at a
// time on one thread: a member whose name cannot be resolved would delay every dial by name. Here each name that is
// asked for has a thread of its own, up to max_resolver_threads, and who asks for the same name waits for the same
// answer.
//
// A service of the io_context: one a loop. Threads: resolve() on the loop; the answer is posted to the loop. Errors:
// unreachable with the cause; overloaded beyond max_waiting_names. Ends without waiting for names that are still asked
// for.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/execution_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "dht/base/error.hpp"

namespace ringfs::dht {

inline constexpr unsigned max_resolver_threads = 8;     // names that are slow at one time before others wait for them
inline constexpr std::size_t max_waiting_names = 1024;  // more than a ring has members

class NameResolver final : public boost::asio::execution_context::service {
 public:
  using key_type = NameResolver;
  static boost::asio::execution_context::id id;

  using Addresses = std::vector<boost::asio::ip::address>;
  using Done = std::function<void(const Result<Addresses>&)>;
  using Lookup = std::function<Result<Addresses>(const std::string& host)>;  // blocking

  explicit NameResolver(boost::asio::execution_context& context);
  ~NameResolver() override;

  // `done` is called on the loop, unless `owner` has gone by then.
  void resolve(const std::string& host, boost::asio::any_io_executor executor, std::weak_ptr<void> owner, Done done);
  // For tests: instead of getaddrinfo.
  void set_lookup(Lookup lookup);

 private:
  void shutdown() override;

  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace ringfs::dht

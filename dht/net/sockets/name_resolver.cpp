// The threads that call getaddrinfo, and the lookups that wait for them.
#include "dht/net/sockets/name_resolver.hpp"

#include <netdb.h>
#include <sys/socket.h>

#include <boost/asio/post.hpp>
#include <deque>
#include <map>
#include <mutex>
#include <thread>

namespace ringfs::dht {

namespace asio = boost::asio;

asio::execution_context::id NameResolver::id;

namespace {

Result<NameResolver::Addresses> ask_system(const std::string& host) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_ADDRCONFIG;
  addrinfo* found = nullptr;
  if (const int error = ::getaddrinfo(host.c_str(), nullptr, &hints, &found); error != 0) {
    return fail(ErrorCode::unreachable, host + ": " + ::gai_strerror(error));
  }
  NameResolver::Addresses addresses;
  for (const addrinfo* one = found; one != nullptr; one = one->ai_next) {
    asio::ip::tcp::endpoint endpoint;
    if (one->ai_addrlen > endpoint.capacity()) continue;
    endpoint.resize(one->ai_addrlen);
    std::copy_n(reinterpret_cast<const char*>(one->ai_addr), one->ai_addrlen, reinterpret_cast<char*>(endpoint.data()));
    addresses.push_back(endpoint.address());
  }
  ::freeaddrinfo(found);
  if (addresses.empty()) return fail(ErrorCode::unreachable, host + " has no address");
  return addresses;
}

}  // namespace

// Shared with the threads, which may outlive the loop by as long as a name takes.
struct NameResolver::State {
  struct Waiter {
    asio::any_io_executor executor;
    std::weak_ptr<void> owner;
    Done done;
  };
  std::mutex mutex;
  Lookup lookup = ask_system;
  std::map<std::string, std::vector<Waiter>> waiting;  // by name; also those that are asked for at the moment
  std::deque<std::string> queue;                       // names that no thread asks for yet
  unsigned threads = 0;
  bool open = true;

  static void run(const std::shared_ptr<State>& state) {
    std::unique_lock lock(state->mutex);
    while (state->open && !state->queue.empty()) {
      const std::string host = std::move(state->queue.front());
      state->queue.pop_front();
      const Lookup ask = state->lookup;
      lock.unlock();
      const Result<Addresses> found = ask(host);
      lock.lock();
      if (!state->open) break;
      auto node = state->waiting.extract(host);
      // Under the lock: shutdown() comes before or after, and the loop lives.
      for (Waiter& waiter : node.mapped()) {
        asio::post(waiter.executor, [found, owner = std::move(waiter.owner), done = std::move(waiter.done)] {
          if (!owner.expired()) done(found);
        });
      }
    }
    --state->threads;
  }
};

NameResolver::NameResolver(asio::execution_context& context)
    : asio::execution_context::service(context), state_(std::make_shared<State>()) {}
NameResolver::~NameResolver() = default;

void NameResolver::set_lookup(Lookup lookup) {
  const std::lock_guard lock(state_->mutex);
  state_->lookup = std::move(lookup);
}

void NameResolver::resolve(const std::string& host, asio::any_io_executor executor, std::weak_ptr<void> owner,
                           Done done) {
  const std::lock_guard lock(state_->mutex);
  const auto place = state_->waiting.find(host);
  if (place == state_->waiting.end() && state_->waiting.size() >= max_waiting_names) {
    asio::post(executor, [owner, done = std::move(done)] {
      if (!owner.expired()) done(fail(ErrorCode::overloaded, "too many names are being resolved"));
    });
    return;
  }
  const bool asked = place != state_->waiting.end();
  std::vector<State::Waiter>& waiters = state_->waiting[host];
  std::erase_if(waiters, [](const State::Waiter& waiter) { return waiter.owner.expired(); });
  waiters.push_back({std::move(executor), std::move(owner), std::move(done)});
  if (asked) return;
  state_->queue.push_back(host);
  if (state_->threads >= max_resolver_threads) return;
  ++state_->threads;
  std::thread([state = state_] { State::run(state); }).detach();
}

void NameResolver::shutdown() {
  const std::lock_guard lock(state_->mutex);
  state_->open = false;
  state_->waiting.clear();
  state_->queue.clear();
}

}  // namespace ringfs::dht

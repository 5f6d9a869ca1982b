// Cancels what a socket waits for when the time is up, again and again until it is destroyed: an operation that
// consists of several may be between two of them.
//
// Threads: the loop of the socket, which must exist as long.
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <memory>

#include "dht/base/time.hpp"

namespace ringfs::nodes {

class TimeLimit {
 public:
  TimeLimit(boost::asio::ip::tcp::socket& socket, Duration limit) : state_(std::make_shared<State>(socket)) {
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
  static constexpr auto repeat = std::chrono::milliseconds(50);

  struct State {
    explicit State(boost::asio::ip::tcp::socket& of) : socket(of), timer(of.get_executor()) {}
    boost::asio::ip::tcp::socket& socket;  // exists until `over`
    boost::asio::steady_timer timer;
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
      state->timer.expires_after(repeat);
      wait(state);
    });
  }
  std::shared_ptr<State> state_;
};

}  // namespace ringfs::nodes

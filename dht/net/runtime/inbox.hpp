// What the store's threads hand over to the loop. The first one that finds it empty wakes the loop, the others join.
//
// Shared with callbacks that are still in the store: they outlive the driver, and what they bring then is dropped.
// Threads: put() and wrap()'s functions from any, everything else from the loop. Limits: what is outstanding in the
// store.
#pragma once

#include <boost/asio/io_context.hpp>
#include <functional>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

namespace ringfs::dht {

class Inbox : public std::enable_shared_from_this<Inbox> {
 public:
  explicit Inbox(boost::asio::io_context& loop) : loop_(loop) {}

  void put(std::function<void()> action);
  // Runs from the loop unless the inbox was closed before.
  void post(std::function<void()> action);
  // Wraps what to do with an answer, so that it runs on the loop. To be called once.
  template <class Answer>
  std::function<void(Answer)> wrap(std::function<void(Answer)> action) {
    return [inbox = shared_from_this(), action = std::move(action)](Answer answer) mutable {
      inbox->put([action = std::move(action), answer = std::move(answer)]() mutable { action(std::move(answer)); });
    };
  }
  void close();

 private:
  void drain();

  boost::asio::io_context& loop_;
  std::mutex mutex_;
  std::vector<std::function<void()>> actions_;   // under the mutex
  bool closed_ = false;                          // under the mutex
  std::vector<std::function<void()>> draining_;  // the loop's
  bool closed_on_loop_ = false;                  // the loop's
};

}  // namespace ringfs::dht

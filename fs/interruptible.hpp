// Operations of `.ring` that a signal may end between two of their steps.
//
// The signal arrives as the `total` cancellation of the request's coroutine. Each step runs shielded from it, because
// its bookkeeping must not be left halfway. Threads: one loop.
#pragma once

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_state.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "dht/base/task.hpp"

namespace ringfs::fs {

template <class T>
Task<T> shielded(Task<T> task) {
  const auto executor = co_await boost::asio::this_coro::executor;
  co_return co_await boost::asio::co_spawn(
      executor, std::move(task),
      boost::asio::bind_cancellation_slot(boost::asio::cancellation_slot(), boost::asio::use_awaitable));
}

// From here on this request's coroutine notices `total` (the default lets only `terminal` through), and was_signalled()
// reports it; nothing is thrown.
inline Task<void> hear_signals() {
  co_await boost::asio::this_coro::reset_cancellation_state(boost::asio::enable_total_cancellation());
  co_await boost::asio::this_coro::throw_if_cancelled(false);
}

inline Task<bool> was_signalled() {
  const boost::asio::cancellation_state state = co_await boost::asio::this_coro::cancellation_state;
  co_return state.cancelled() != boost::asio::cancellation_type::none;
}

}  // namespace ringfs::fs

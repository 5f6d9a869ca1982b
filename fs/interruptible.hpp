// Operations of `.ring` that a signal may end between two of their steps.
//
// Whoever asked is told of the signal through the `total` cancellation of its coroutine. Steps run shielded from it:
// their bookkeeping is not made for being left in the middle. Threads: one loop.
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

// From here on only `total` ends this request's coroutine (the default lets only `terminal` through), so no other one
// is hit by what is meant for this one; and it is looked for, not thrown.
inline Task<void> hear_signals() {
  co_await boost::asio::this_coro::reset_cancellation_state(boost::asio::enable_total_cancellation());
  co_await boost::asio::this_coro::throw_if_cancelled(false);
}

inline Task<bool> was_signalled() {
  const boost::asio::cancellation_state state = co_await boost::asio::this_coro::cancellation_state;
  co_return state.cancelled() != boost::asio::cancellation_type::none;
}

}  // namespace ringfs::fs

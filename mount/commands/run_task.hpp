// Runs one coroutine on a loop that does nothing else.
//
// Threads: the caller's, until the coroutine has ended. Errors: an exception of the coroutine is thrown on.
#pragma once

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <exception>
#include <optional>
#include <utility>

#include "dht/base/task.hpp"

namespace ringfs::mount {

template <class T>
T run_task(boost::asio::io_context& loop, Task<T> task) {
  std::optional<T> result;
  std::exception_ptr failure;
  boost::asio::co_spawn(loop, std::move(task), [&](const std::exception_ptr& thrown, T value) {
    if (thrown)
      failure = thrown;
    else
      result.emplace(std::move(value));
    loop.stop();
  });
  loop.restart();
  loop.run();
  if (failure) std::rethrow_exception(failure);
  return std::move(*result);
}

}  // namespace ringfs::mount

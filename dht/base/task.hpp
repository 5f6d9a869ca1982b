// The coroutine type of everything above the core: Asio's awaitable, on the loop where it was spawned.
#pragma once

#include <boost/asio/awaitable.hpp>

namespace ringfs {

template <class T>
using Task = boost::asio::awaitable<T>;

}  // namespace ringfs

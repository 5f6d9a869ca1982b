// Runs coroutines beside each other on the caller's loop and joins them all; cancelling the caller cancels them.
// Threads: the caller's loop. Results travel through what the coroutines were given. Exceptions of theirs are bugs and
// end nothing else: they come out here.
#pragma once

#include <vector>

#include "dht/base/task.hpp"

namespace ringfs::dht {

Task<void> run_all(std::vector<Task<void>> tasks);

}  // namespace ringfs::dht

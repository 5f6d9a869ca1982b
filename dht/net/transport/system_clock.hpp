// The machine's clocks as the protocol wants them (dht/base/time.hpp): CLOCK_BOOTTIME, which goes on during suspend, so
// that a lease ends while the machine sleeps; CLOCK_REALTIME for stamps. Threads: any.
#pragma once

#include "dht/base/time.hpp"

namespace ringfs::dht {

TimePoint boot_time();
Stamp wall_time();
Clock read_clock();

}  // namespace ringfs::dht

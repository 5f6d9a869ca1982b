#!/bin/bash
# dht/core is a pure state machine: no I/O, threads, clocks, random devices, logging or hash-ordered iteration (docs/design.md#the-protocol-has-no-io).
# The object client and fs/, which the simulator runs as well, have no clock or timer of their own (docs/simulator.md).
set -eu
cd "$1"
forbidden='#include <(boost/asio|thread|mutex|atomic|condition_variable|future|iostream|fstream|random|ctime|time\.h|unistd\.h|sys/|sqlite3|spdlog|unordered_map|unordered_set|filesystem)|std::(this_thread|chrono::(steady|system|high_resolution)_clock|cout|cerr|random_device|unordered_)|clock_gettime|gettimeofday|RAND_bytes|SystemRandom|co_await|getenv'
bad=$(grep -rnE "$forbidden" dht/core --include='*.hpp' --include='*.cpp' || true)
if [ -n "$bad" ]; then
  echo "impure in dht/core:"
  echo "$bad"
  exit 1
fi
# The object client and the file system live in their transport's or store's time, which the simulator makes.
clocks='(steady|system|high_resolution)_clock|clock_gettime|gettimeofday|random_device|expires_(after|at)\(|boot_time\(|wall_time\('
# Not so a newcomer, who has no transport yet: it asks over a connection of its own, and the simulator runs none of it.
bad=$(grep -rnE "$clocks" fs dht/net/client --include='*.hpp' --include='*.cpp' || true)
if [ -n "$bad" ]; then
  echo "a clock or a timer of its own:"
  echo "$bad"
  exit 1
fi
# The same through includes: headers of base that core includes must not use Asio.
for header in $(grep -rhoE '#include "dht/base/[a-z_]+\.hpp"' dht/core | sort -u | sed 's/.*"\(.*\)"/\1/'); do
  if grep -qE '#include .*(task|object_store|ring_view)\.hpp|boost/asio' "$header"; then
    echo "dht/core includes $header, which pulls in Asio"
    exit 1
  fi
done

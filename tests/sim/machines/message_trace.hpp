// What a trace line says of a message: its name, and partition, term and index where it has them. Threads: none.
#pragma once

#include "dht/core/protocol/messages.hpp"
#include "tests/sim/machines/world.hpp"

namespace ringfs::sim {

enum class Direction { send, receive };
void trace_message(World& world, Direction direction, unsigned node, const dht::Message& message);

}  // namespace ringfs::sim

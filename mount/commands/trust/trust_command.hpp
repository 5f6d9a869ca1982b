// What `ringfs token`, `clients` and `authority` share: one question about the ring's trust to one of its nodes, which
// carries it out (nodes/daemon/trust_desk.hpp).
//
// Included by mount/commands/trust/*.cpp only. Threads: the caller's; blocks for at most the options' time limit.
// Errors: the node's; unreachable and timeout when no node answers.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "mount/commands/command_line.hpp"

namespace ringfs::mount {

// Asks the nodes that the options name, else those of this machine, one after the other until one answers.
Result<nlohmann::ordered_json> ask_trust(const RingOptions& options, const nlohmann::ordered_json& question);

// "2026-11-27T12:00:00Z" of seconds since 1970.
std::string time_text(std::int64_t seconds);

}  // namespace ringfs::mount

// The names of messages in the trace.
#include "tests/sim/machines/message_trace.hpp"

#include <iterator>
#include <variant>

namespace ringfs::sim {

namespace {

// In the order of the variant Message.
constexpr const char* send_names[] = {"send request-vote",   "send vote-reply",       "send append",
                                      "send append-reply",   "send timeout-now",      "send snapshot-chunk",
                                      "send snapshot-reply", "send heartbeat",        "send heartbeat-reply",
                                      "send chord-ask",      "send chord-neighbours", "send chord-notify",
                                      "send chord-find",     "send chord-found",      "send table-request",
                                      "send table-reply",    "send replica-query",    "send replica-removed",
                                      "send ping",           "send node-report"};
constexpr const char* receive_names[] = {"get request-vote",   "get vote-reply",       "get append",
                                         "get append-reply",   "get timeout-now",      "get snapshot-chunk",
                                         "get snapshot-reply", "get heartbeat",        "get heartbeat-reply",
                                         "get chord-ask",      "get chord-neighbours", "get chord-notify",
                                         "get chord-find",     "get chord-found",      "get table-request",
                                         "get table-reply",    "get replica-query",    "get replica-removed",
                                         "get ping",           "get node-report"};
static_assert(std::size(send_names) == std::variant_size_v<dht::Message> &&
              std::size(receive_names) == std::variant_size_v<dht::Message>);

struct Subject {
  std::uint64_t partition = 0, term = 0, index = 0;
};

Subject subject_of(const dht::Message& message) {
  return std::visit(
      [](const auto& one) -> Subject {
        Subject subject;
        if constexpr (requires { one.raft; }) subject = {index_of(one.raft.partition), one.raft.term, 0};
        if constexpr (requires { one.previous_index; }) subject.index = one.previous_index + one.entries.size();
        if constexpr (requires { one.match; }) subject.index = one.match;
        if constexpr (requires { one.granted; }) subject.index = one.granted ? 1 : 0;
        if constexpr (requires { one.round; }) subject.index = one.round;
        return subject;
      },
      message);
}

}  // namespace

void trace_message(World& world, Direction direction, unsigned node, const dht::Message& message) {
  const Subject subject = subject_of(message);
  const auto& names = direction == Direction::send ? send_names : receive_names;
  world.trace(names[message.index()], node, subject.partition, subject.term, subject.index);
}

}  // namespace ringfs::sim

// What `ringfs token`, `clients` and `authority` share: one question to the ring's tokens, clients and authority.
//
// Included by mount/commands/trust/*.cpp only. Threads: the caller's. Errors: told on stderr, with the exit code.
#pragma once

#include <functional>
#include <string>

#include "dht/net/client/trust_admin.hpp"
#include "mount/commands/command_line.hpp"
#include "mount/commands/ring_session.hpp"

namespace ringfs::mount {

// The nodes that a command asks: those of RingOptions, else those of this machine.
Result<std::vector<std::string>> trust_addresses(const RingOptions& options);

template <class T>
using TrustQuestion = std::function<Task<Result<T>>(dht::TrustAdmin* admin, TimePoint deadline)>;

template <class T>
Task<Result<T>> ask_trust(RingSession* session, const TrustQuestion<T>* question, TimePoint deadline) {
  const Status started = co_await session->start(deadline);
  if (!started) co_return tl::unexpected<Error>(started.error());
  dht::TrustAdmin admin(session->store(), [session] { return session->transport().ring_time(); });
  Result<T> answer = co_await (*question)(&admin, deadline);
  co_return answer;
}

template <class T>
Result<T> run_question(const RingOptions& options, const TrustQuestion<T>& question) {
  Result<std::vector<std::string>> addresses = trust_addresses(options);
  if (!addresses) return tl::unexpected<Error>(addresses.error());
  RingSession session(std::move(*addresses));
  const TimePoint deadline = session.in(std::chrono::seconds(options.timeout_seconds));
  Result<T> answer = session.run(ask_trust<T>(&session, &question, deadline));
  session.finish();
  return answer;
}

std::string time_text(Stamp stamp);  // "2026-11-27T12:00:00Z"; of the ring

}  // namespace ringfs::mount

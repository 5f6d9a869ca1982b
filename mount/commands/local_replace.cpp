// Giving a lost node's place to a new one.
#include "mount/commands/local_replace.hpp"

#include <algorithm>

#include "mount/commands/ring_session.hpp"

namespace ringfs::mount {
namespace {

Status put_aside(const std::filesystem::path& data) {
  std::error_code error;
  if (!std::filesystem::exists(data, error) || std::filesystem::is_empty(data, error)) return {};
  constexpr unsigned most = 1000;  // more lost disks than any ring has
  for (unsigned i = 1; i <= most; ++i) {
    const std::filesystem::path aside = data.string() + ".before" + (i == 1 ? "" : std::to_string(i));
    if (std::filesystem::exists(aside, error)) continue;
    std::filesystem::rename(data, aside, error);
    if (!error) return {};
    return fail(ErrorCode::io_error, "cannot move " + data.string() + " to " + aside.string() + ": " + error.message());
  }
  return fail(ErrorCode::exists, "there are too many directories " + data.string() + ".before");
}

Task<Status> take_place(RingSession* session, LocalNode node, TimePoint deadline) {
  Status started = co_await session->start(deadline);
  if (!started) co_return started;
  Result<Uuid> added = co_await session->admin().add(node.rpc, deadline);
  // It is a member already if an `up` was cut short behind this.
  if (!added && added.error().code != ErrorCode::already_member) co_return tl::unexpected(added.error());
  // By force, however few nodes remain: that node's data is gone.
  Result<Uuid> removed = co_await session->admin().remove(node.replaces->text(), true, deadline);
  const bool gone = removed || removed.error().code == ErrorCode::not_found || removed.error().code == ErrorCode::busy;
  if (!gone) co_return tl::unexpected(removed.error());
  co_return Status();
}

}  // namespace

Status prepare_replacement(const StateDirectory& state, LocalRing& ring, unsigned number) {
  const auto node =
      std::find_if(ring.nodes.begin(), ring.nodes.end(), [&](const LocalNode& one) { return one.number == number; });
  if (node == ring.nodes.end())
    return fail(ErrorCode::not_found, "there is no node " + std::to_string(number) + " in " + state.path().string());
  if (!ring.created) return fail(ErrorCode::unavailable, "the ring was never complete: start it without --replace");
  if (node->replaces) return {};  // an `up` was cut short; this one goes on
  if (const std::optional<ProcessMark> running = running_from(state.node_pid(number))) {
    return fail(ErrorCode::busy,
                "node " + std::to_string(number) + " runs as process " + std::to_string(running->pid) +
                    ": nothing is to be replaced; if it is to go for good, remove it, or end its process first");
  }
  Status aside = put_aside(state.node_data(number));
  if (!aside) return aside;
  node->replaces = std::exchange(node->id, std::nullopt);
  return state.save(ring);
}

void finish_replacements(const StateDirectory& state, LocalRing& ring, StartReport& report,
                         std::chrono::steady_clock::time_point deadline) {
  for (LocalNode& node : ring.nodes) {
    const bool has_problem = std::any_of(report.problems.begin(), report.problems.end(),
                                         [&](const NodeProblem& one) { return one.number == node.number; });
    if (!node.replaces || has_problem) continue;
    std::vector<std::string> others;
    for (const LocalNode& one : ring.nodes) {
      if (one.number != node.number) others.push_back(one.rpc);
    }
    RingSession session(others);
    Status taken = session.run(take_place(&session, node, session.at(deadline)));
    session.finish();
    if (taken) {
      node.replaces.reset();
      taken = state.save(ring);
    }
    if (!taken) {
      report.problems.push_back(
          {node.number,
           Error{taken.error().code, "it runs, but does not take its predecessor's place yet: " + taken.error().text()},
           replace_command(state, ring, node.number)});
    }
  }
}

}  // namespace ringfs::mount

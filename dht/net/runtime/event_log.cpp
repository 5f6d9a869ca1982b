// Which events are logged, and at which level.
#include "dht/net/runtime/event_log.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <string_view>

namespace ringfs::dht {

namespace {

// Events of busy groups, so frequent that they would push the others out of the journal.
constexpr std::array<std::string_view, 4> ordinary = {"campaign", "batch_delayed", "log_compacted",
                                                      "log_compacted_for_budget"};
// Events of each of hundreds of groups whenever one node comes or goes.
constexpr std::array<std::string_view, 3> routine = {"leader_elected", "step_down", "transfer"};

bool is_one_of(std::string_view name, const auto& names) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

}  // namespace

std::optional<PartitionId> subject_of(const Event& event) {
  constexpr std::string_view of_one = "partition=";
  if (!event.detail.starts_with(of_one)) return {};
  return PartitionId{static_cast<std::uint32_t>(std::strtoul(event.detail.c_str() + of_one.size(), nullptr, 10))};
}

void EventLog::add(const Event& event) {
  const bool is_ordinary = is_one_of(event.name, ordinary);
  const bool debug = is_ordinary || is_one_of(event.name, routine);
  spdlog::log(debug ? spdlog::level::debug : spdlog::level::info, "event={} {}", event.name, event.detail);
  if (is_ordinary) return;
  const auto about = subject_of(event) ? EventJournal::About::partition : EventJournal::About::ring;
  journal_.add(about, event.name, event.detail, now_());
}

void EventLog::trouble(std::string name, std::string detail) {
  spdlog::error("event={} {}", name, detail);
  journal_.add(EventJournal::About::ring, std::move(name), std::move(detail), now_());
}

}  // namespace ringfs::dht

// The loops of the background tasks, each with its pauses and deadlines.
#include "nodes/daemon/background_tasks.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>

#include "dht/core/protocol/members_table.hpp"
#include "dht/net/client/members_edit.hpp"
#include "dht/net/client/ring_admin_client.hpp"
#include "dht/net/client/ring_client.hpp"
#include "dht/net/transport/system_clock.hpp"
#include "fs/file_system.hpp"

namespace ringfs::nodes {

namespace {

constexpr Duration affiliation_poll = std::chrono::milliseconds(200);
constexpr Duration start_limit = std::chrono::seconds(10);
constexpr Duration pass_limit = std::chrono::seconds(30);
constexpr Duration announce_limit = std::chrono::seconds(10);
constexpr Duration announce_poll = std::chrono::seconds(1);
constexpr Duration announce_retry = std::chrono::seconds(3);  // plus a random time up to this
constexpr Duration join_limit = std::chrono::seconds(10);
constexpr Duration join_retry = std::chrono::seconds(3);
constexpr Duration shortest_pause = std::chrono::milliseconds(5);

}  // namespace

Task<void> BackgroundTasks::start_client() {
  while (!client_started_) {
    if (driver_.node().genesis()) {
      Status started = co_await client_.start(dht::boot_time() + start_limit);
      client_started_ = started.has_value();
      if (!started) spdlog::warn("event=client_start_failed reason=\"{}\"", started.error().text());
    }
    if (!client_started_) co_await client_.sleep(affiliation_poll);
  }
}

// ---- The janitor -----------------------------------------------------------------------------------

Task<void> BackgroundTasks::janitor() {
  for (;;) {
    if (!client_started_) {
      co_await client_.sleep(affiliation_poll);
      continue;
    }
    std::vector<PartitionId> partitions = partitions_to_clean();
    // Spread over the interval, so that the load is even.
    Duration pause = std::max(shortest_pause, janitor_interval_ / static_cast<std::int64_t>(partitions.size() + 1));
    for (PartitionId partition : partitions) {
      co_await client_.sleep(pause);
      co_await clean(partition);
    }
    co_await client_.sleep(pause);
  }
}

std::vector<PartitionId> BackgroundTasks::partitions_to_clean() const {
  std::vector<PartitionId> partitions = driver_.node().led_partitions(dht::read_clock());
  std::erase_if(partitions, [this](PartitionId partition) {
    return empty_.still_empty(partition, driver_.node().applied_index(partition));
  });
  return partitions;
}

Task<void> BackgroundTasks::clean(PartitionId partition) {
  const dht::LogIndex applied = driver_.node().applied_index(partition);
  const bool empty = co_await pass(partition);
  empty_.note(partition, applied, empty);
}

Task<void> BackgroundTasks::claim(PartitionId partition) {
  auto known = claimed_.find(partition);
  if (known != claimed_.end() && known->second.at + claim_interval > dht::boot_time()) co_return;
  Result<RowAges> ages = co_await claims_.claim(client_, partition, dht::boot_time() + pass_limit);
  if (ages)
    claimed_.insert_or_assign(partition, Claimed{std::move(*ages), dht::boot_time()});
  else
    spdlog::warn("event=janitor_failed partition={} reason=\"{}\"", index_of(partition), ages.error().text());
}

// What a pass finds is claimed, and removed by a later pass, to which a later claim says how old it is (fs/claims.hpp).
Task<bool> BackgroundTasks::pass(PartitionId partition) {
  bool empty = false;
  const bool known = claimed_.contains(partition);
  if (known) co_await claim(partition);
  const RowAges ages = known ? claimed_[partition].ages : RowAges();
  for (int repeat = 0; repeat < janitor_repeats; ++repeat) {
    TimePoint deadline = dht::boot_time() + pass_limit;
    Result<fs::JanitorReport> report = co_await fs::janitor_pass(client_, partition, ages, deadline);
    if (!report) {
      spdlog::warn("event=janitor_failed partition={} reason=\"{}\"", index_of(partition), report.error().text());
      if (!known) co_await claim(partition);
      co_return false;
    }
    if (report->orphans + report->chunks > 0) {
      spdlog::debug("event=janitor_collected partition={} orphans={} chunks={}", index_of(partition), report->orphans,
                    report->chunks);
    }
    empty = report->rows == 0;
    if (!report->more) break;
    co_await client_.sleep(shortest_pause);
  }
  dht::RecordsPlace& place = records_places_[partition];
  Result<dht::RecordsReport> records =
      co_await dht::finish_records(client_, partition, &place, ages, dht::boot_time() + pass_limit);
  if (place.at_the_first()) records_places_.erase(partition);
  if (!records) {
    spdlog::warn("event=janitor_failed partition={} reason=\"{}\"", index_of(partition), records.error().text());
  }
  empty = empty && records && records->none;
  if (empty)
    claimed_.erase(partition);
  else if (!known)
    co_await claim(partition);
  co_return empty;
}

// ---- The announcement ------------------------------------------------------------------------------

bool BackgroundTasks::address_is_stale() const {
  const dht::Member* self = driver_.node().table().find(driver_.node().id());
  if (self == nullptr || self->state == MemberState::removed) return false;
  const bool stale = self->address != address_ || self->rest_address != rest_address_;
  return stale && may_announce_();
}

Task<void> BackgroundTasks::announce() {
  for (;;) {
    co_await client_.sleep(announce_poll);
    if (!client_started_ || !address_is_stale() || !driver_.accepted()) continue;
    Status announced = co_await commit_address();
    if (announced) {
      spdlog::info("event=address_announced rpc={} rest={}", address_, rest_address_);
    } else {
      // Nodes that start together change the table at once; the next try succeeds.
      bool raced = announced.error().code == ErrorCode::busy;
      spdlog::log(raced ? spdlog::level::debug : spdlog::level::warn, "event=address_not_announced reason=\"{}\"",
                  announced.error().text());
    }
    // This node's own copy of the table follows a little later. Until then its address still looks stale.
    auto jitter = client_.random().below(static_cast<std::uint64_t>(announce_retry.count()));
    co_await client_.sleep(announce_retry + Duration(static_cast<std::int64_t>(jitter)));
  }
}

Task<Status> BackgroundTasks::commit_address() {
  auto change = [this](dht::MembersTable& table) -> Status {
    const auto self = std::find_if(table.members.begin(), table.members.end(),
                                   [this](const dht::Member& member) { return member.id == driver_.node().id(); });
    if (self == table.members.end()) return fail(ErrorCode::not_found, "the members table has no row of this node");
    if (self->state == MemberState::removed) return {};
    self->address = address_;
    self->rest_address = rest_address_;
    return {};
  };
  Result<dht::MembersTable> table =
      co_await dht::edit_members_table(client_, change, dht::boot_time() + announce_limit);
  if (!table) co_return tl::unexpected<Error>(table.error());
  co_return Status{};
}

// ---- Joining ---------------------------------------------------------------------------------------

Task<void> BackgroundTasks::join(dht::ClientTransport& transport, std::vector<std::string> nodes) {
  while (!driver_.node().genesis()) {
    dht::ObjectClient client(transport, nodes);
    dht::RingClient view(transport, client);
    dht::RingAdminClient admin(transport, client, view);
    const TimePoint deadline = dht::boot_time() + join_limit;
    Status started = co_await client.start(deadline);
    Result<Uuid> added =
        fail(started ? ErrorCode::internal : started.error().code, started ? "" : started.error().context);
    if (started) added = co_await admin.add(address_, deadline);
    if (added) {
      spdlog::info("event=joined ring={}", client.directory().genesis().ring.text());
      co_return;
    }
    spdlog::warn("event=not_joined reason=\"{}\"", added.error().text());
    co_await client.sleep(join_retry);
  }
}

}  // namespace ringfs::nodes

// The survey of all nodes, and the views that are made from it.
#include "dht/net/client/ring_client.hpp"

#include <algorithm>
#include <iterator>
#include <set>
#include <tuple>

#include "dht/base/ring/settings.hpp"
#include "dht/core/members/placed_members.hpp"
#include "dht/core/node/clock_survey.hpp"
#include "dht/net/client/run_all.hpp"
#include "dht/net/client/trust_admin.hpp"

namespace ringfs::dht {

namespace {

constexpr Duration node_time = std::chrono::seconds(1);  // for one node's status
// A follower that is a little behind is normal under load.
constexpr LogIndex tolerated_lag = 256;
constexpr std::size_t max_damage_remarks = 4;  // of single partitions: they are for a person

const GroupStatus* find_group(const NodeStatus& status, PartitionId partition) {
  for (const GroupStatus& group : status.groups) {
    if (group.partition == partition) return &group;
  }
  return nullptr;
}

std::string count_of(std::size_t count, const std::string& one, const std::string& many) {
  return std::to_string(count) + " " + (count == 1 ? one : many);
}

void counter(std::string& text, const std::string& name, const std::string& help, std::uint64_t value) {
  text += "# HELP ringfs_client_" + name + " " + help + "\n# TYPE ringfs_client_" + name + " counter\nringfs_client_" +
          name + " " + std::to_string(value) + "\n";
}

// `holders`: the number of members that hold data.
void remark_copies(RingStatus& status, std::size_t holders) {
  if (holders == 1) {
    status.remarks.push_back(
        "There is one copy of everything: what that node loses is lost, and while it is down nothing can be read.");
  } else if (holders == 2) {
    status.remarks.push_back(
        "There are two nodes: while one of them is down nothing can be read or written, but nothing is lost.");
  }
  if (holders < status.replication) {
    status.remarks.push_back("There are fewer nodes than the replication of " + std::to_string(status.replication) +
                             " asks for: add " + count_of(status.replication - holders, "node.", "nodes."));
  }
}

// How many nodes may still fail: a majority of the configured replicas must go on.
void remark_spare(RingStatus& status, std::size_t holders, unsigned fewest) {
  const std::size_t group = std::min<std::size_t>(status.replication, std::max<std::size_t>(holders, 1));
  const std::size_t majority = group / 2 + 1;
  const std::size_t spare = fewest > majority ? fewest - majority : 0;
  status.remarks.push_back(spare == 0
                               ? "No further node may fail without some data becoming unavailable."
                               : "The ring survives the failure of " + count_of(spare, "more node.", "more nodes."));
}

}  // namespace

const RingClient::Answering* RingClient::Survey::find(const Uuid& node) const {
  for (const Answering& one : nodes) {
    if (one.member.id == node) return &one;
  }
  return nullptr;
}

std::size_t RingClient::Survey::answering() const {
  return static_cast<std::size_t>(
      std::count_if(nodes.begin(), nodes.end(), [](const Answering& node) { return node.status.has_value(); }));
}

Task<void> RingClient::ask_status(ClientTransport& transport, Answering* node, StatusOperation question,
                                  TimePoint deadline) {
  const TimePoint asked = transport.now();
  Operation operation{question};
  OperationResult result =
      co_await transport.call(node->member.address, node->member.id, std::move(operation), deadline);
  node->round_trip = transport.now() - asked;
  node->answered = transport.now();
  if (!result) co_return;
  if (NodeStatus* status = std::get_if<NodeStatus>(&*result)) node->status = std::move(*status);
}

Task<Result<RingClient::Survey>> RingClient::survey(TimePoint deadline, const EventCursor* events_after) {
  // Two silent nodes can use up the time for the table: the one that is known tells whom to ask.
  Status refreshed = co_await client_.refresh_table(std::min(deadline, transport_.now() + 2 * node_time));
  if (!refreshed && !client_.directory().known()) co_return tl::unexpected(refreshed.error());
  Survey survey;
  for (const Member& member : client_.directory().table().members) {
    if (member.state == MemberState::removed) continue;
    Answering node;
    node.member = member;
    if (std::optional<std::string> address = client_.directory().address_of(member.id)) node.member.address = *address;
    survey.nodes.push_back(std::move(node));
  }
  std::vector<Task<void>> tasks;
  const TimePoint until = std::min(deadline, transport_.now() + node_time);
  for (Answering& node : survey.nodes) {
    StatusOperation question;
    if (events_after != nullptr) {
      auto seen = events_after->find(node.member.id);
      question.events_after = seen == events_after->end() ? 0 : seen->second;
    }
    tasks.push_back(ask_status(transport_, &node, question, until));
  }
  co_await run_all(std::move(tasks));
  if (survey.answering() == 0) {
    if (!refreshed) co_return tl::unexpected(refreshed.error());
    co_return fail(ErrorCode::timeout, "no node answers");
  }
  co_return survey;
}

bool RingClient::keeps_up(const NodeStatus& node, PartitionId partition, const GroupStatus& leader) {
  if (node.disk_stalled > Duration::zero()) return false;  // what it has not written it does not have
  const GroupStatus* group = find_group(node, partition);
  if (group == nullptr || group->snapshotting || group->damaged || group->term != leader.term ||
      group->role == Role::learner)
    return false;
  return group->applied + tolerated_lag >= leader.commit;
}

std::vector<PartitionView> RingClient::partition_views(const Survey& survey) const {
  std::vector<PartitionView> views;
  const unsigned bits = client_.partition_bits();
  const Placement& placement = client_.directory().placement();
  std::map<PartitionId, std::pair<Uuid, const GroupStatus*>> leaders;
  for (const Answering& node : survey.nodes) {
    if (!node.status) continue;
    for (const GroupStatus& group : node.status->groups) {
      if (group.role != Role::leader) continue;
      // Of two that claim to lead the one with the later term is right.
      auto [place, inserted] = leaders.try_emplace(group.partition, node.member.id, &group);
      if (!inserted && place->second.second->term < group.term) place->second = {node.member.id, &group};
    }
  }
  for (std::uint32_t i = 0; i < (std::uint32_t{1} << bits); ++i) {
    PartitionView view;
    view.partition = PartitionId{i};
    view.anchor = anchor_of(view.partition, bits);
    view.replicas = placement.preference_list(view.partition);
    auto leader = leaders.find(view.partition);
    if (leader != leaders.end()) {
      view.leader = leader->second.first;
      view.term = leader->second.second->term;
      for (const Uuid& replica : view.replicas) {
        const Answering* node = survey.find(replica);
        if (node == nullptr || !node->status) continue;
        const bool leads_soundly = replica == *view.leader && !leader->second.second->damaged;
        if (leads_soundly || keeps_up(*node->status, view.partition, *leader->second.second)) {
          ++view.answering_replicas;
        }
      }
    }
    views.push_back(std::move(view));
  }
  return views;
}

// What a node says of itself that keeps it from leading; empty: nothing.
std::string RingClient::trouble_of(const Member& member, const NodeStatus& status) {
  using std::chrono::duration_cast;
  const std::string where = "node " + member.address;
  if (status.disk_stalled > Duration::zero() && !status.no_space) {
    const auto seconds = duration_cast<std::chrono::seconds>(status.disk_stalled).count();
    return "The disk of " + where + " has not answered for " +
           count_of(static_cast<std::size_t>(seconds), "second", "seconds") +
           ": others lead its partitions. Look at the disk, or take the node away.";
  }
  if (status.disk_slow) {
    const auto milliseconds = duration_cast<std::chrono::milliseconds>(status.disk_write_time).count();
    return "The disk of " + where + " is much slower than those of the others (" + std::to_string(milliseconds) +
           " ms a write): it leads nothing until it keeps up again.";
  }
  if (status.late)
    return "The process of " + where + " gets too little processor time: it leads nothing until it does.";
  return {};
}

Task<Result<RingStatus>> RingClient::status(TimePoint deadline) {
  Result<Survey> surveyed = co_await survey(deadline);
  if (!surveyed) co_return tl::unexpected(surveyed.error());
  const MembersTable& table = client_.directory().table();
  RingStatus status;
  status.ring = client_.directory().genesis().ring;
  status.nodes = static_cast<unsigned>(surveyed->nodes.size());
  status.answering = static_cast<unsigned>(surveyed->answering());
  status.replication = table.replication();
  status.table_version = table.version;
  bool no_space = false;
  std::vector<std::string> troubles;
  std::size_t silent = 0, dead = 0;
  std::vector<ClockReading> clocks;
  for (const Answering& node : surveyed->nodes) {
    if (node.member.state == MemberState::dead)
      ++dead;
    else if (!node.status)
      ++silent;
    if (node.member.state == MemberState::joining || node.member.state == MemberState::leaving) status.moving = true;
    if (!node.status) continue;
    no_space = no_space || node.status->no_space;
    if (std::string trouble = trouble_of(node.member, *node.status); !trouble.empty())
      troubles.push_back(std::move(trouble));
    if (!node.status->storage_note.empty())
      troubles.push_back("Node " + node.member.address + ": " + node.status->storage_note + ".");
    if (node.status->wall != Stamp{}) {
      const Duration offset = node.status->wall - Stamp{node.answered.time_since_epoch().count()};
      clocks.push_back({node.member.id.text() + " (" + node.member.address + ")", offset, node.round_trip});
    }
    for (const GroupStatus& group : node.status->groups) {
      if (group.snapshotting || group.role == Role::learner) status.moving = true;
    }
  }
  status.unsettled = rebalance_view(*surveyed, client_.directory().placement().partitions(), table).unsettled;
  if (status.unsettled > 0) status.moving = true;
  std::size_t holders = 0;
  for (const Answering& node : surveyed->nodes) holders += is_placed(node.member) ? 1 : 0;
  unsigned fewest = status.replication;
  for (const PartitionView& view : partition_views(*surveyed)) {
    ++status.partitions;
    if (!view.leader) ++status.leaderless;
    if (view.answering_replicas < status.replication) ++status.under_replicated;
    fewest = std::min(fewest, view.answering_replicas);
  }
  const std::vector<std::string> clocks_wrong = wrong_clocks(clocks);
  if (status.leaderless > 0) {
    status.health = Health::readonly;
    status.remarks.push_back(count_of(status.leaderless, "partition has", "partitions have") +
                             " no leader: what lies there can be neither read nor written until one is elected.");
  } else if (status.under_replicated > 0 || silent > 0 || no_space || !troubles.empty() || !clocks_wrong.empty()) {
    status.health = Health::degraded;
  }
  std::move(troubles.begin(), troubles.end(), std::back_inserter(status.remarks));
  for (std::string& remark : damage_remarks(*surveyed)) {
    status.health = std::max(status.health, Health::degraded);
    status.remarks.push_back(std::move(remark));
  }
  if (silent > 0) status.remarks.push_back(count_of(silent, "node does", "nodes do") + " not answer.");
  if (dead > 0) {
    status.remarks.push_back(count_of(dead, "node is taken", "nodes are taken") +
                             " for dead: the others hold its data. It joins again by itself when it returns.");
  }
  remark_copies(status, holders);
  status.remarks.insert(status.remarks.end(), clocks_wrong.begin(), clocks_wrong.end());
  if (no_space) status.remarks.push_back("A node's disk is full: it refuses writes until space returns.");
  for (std::string& advice : authority_advice(table)) status.remarks.push_back(std::move(advice));
  if (status.leaderless == 0) remark_spare(status, holders, fewest);
  co_return status;
}

// Which nodes have damaged copies, and what becomes of them. Partitions of which too few sound copies are left come
// first.
std::vector<std::string> RingClient::damage_remarks(const Survey& survey) {
  struct Partition {
    std::size_t damaged = 0, sound = 0;
    std::string nodes;
  };
  std::map<PartitionId, Partition> partitions;
  std::map<std::string, std::size_t> by_node;  // address: damaged copies
  for (const Answering& node : survey.nodes) {
    if (!node.status) continue;
    for (const GroupStatus& group : node.status->groups) {
      Partition& known = partitions[group.partition];
      if (!group.damaged) {
        known.sound += group.role == Role::learner ? 0 : 1;
        continue;
      }
      ++known.damaged;
      known.nodes += (known.nodes.empty() ? "" : ", ") + node.member.address;
      ++by_node[node.member.address];
    }
  }
  std::vector<std::string> remarks;
  std::size_t stuck = 0, unmentioned = 0;
  for (const auto& [partition, known] : partitions) {
    if (known.damaged == 0 || known.sound > known.damaged) continue;
    if (++stuck > max_damage_remarks) {
      ++unmentioned;
      continue;
    }
    const std::string rest =
        known.sound == 0
            ? "no sound copy is left: what is damaged cannot be read, the rest can; bring back any node that is away"
            : "the sound copies are no majority, so it is not replaced by itself: bring back nodes that are away, or "
              "add a node, which is filled from what is sound, and remove the damaged one";
    remarks.push_back("Partition " + std::to_string(index_of(partition)) + " is damaged on " + known.nodes + ", and " +
                      rest + ".");
  }
  if (unmentioned > 0)
    remarks.push_back(count_of(unmentioned, "more partition is", "more partitions are") + " in the same state.");
  for (const auto& [address, copies] : by_node) {
    remarks.push_back(count_of(copies, "copy", "copies") + " of partitions on " + address +
                      (copies == 1 ? " is" : " are") + " damaged" +
                      (stuck == 0 ? " and being replaced from the other nodes" : "") +
                      "; look at its disk if that comes again.");
  }
  return remarks;
}

// A partition without a leader counts as unsettled.
RebalanceView RingClient::rebalance_view(const Survey& survey, std::size_t partitions, const MembersTable& table) {
  RebalanceView view;
  view.partitions = static_cast<unsigned>(partitions);
  view.rate_limit = setting_value(table.settings, rebalance_rate_setting);
  view.paused = view.rate_limit == 0;
  std::set<PartitionId> settled;
  for (const Answering& node : survey.nodes) {
    if (!node.status) continue;
    view.sent_bytes += node.status->snapshot_bytes_sent;
    for (const GroupStatus& group : node.status->groups) {
      if (group.role != Role::leader) continue;
      view.learners += group.learners;
      if (group.settled) settled.insert(group.partition);
    }
  }
  view.unsettled = view.partitions - std::min(view.partitions, static_cast<unsigned>(settled.size()));
  return view;
}

Task<Result<RebalanceView>> RingClient::rebalance(TimePoint deadline) {
  Result<Survey> surveyed = co_await survey(deadline);
  if (!surveyed) co_return tl::unexpected(surveyed.error());
  co_return rebalance_view(*surveyed, client_.directory().placement().partitions(), client_.directory().table());
}

Task<Result<std::vector<EventView>>> RingClient::events(EventCursor after, TimePoint deadline) {
  Result<Survey> surveyed = co_await survey(deadline, &after);
  if (!surveyed) co_return tl::unexpected(surveyed.error());
  std::vector<EventView> views;
  for (Answering& node : surveyed->nodes) {
    if (!node.status) continue;
    for (NodeEvent& event : node.status->events) {
      views.push_back({node.member.id, event.sequence, event.time, std::move(event.name), std::move(event.detail)});
    }
  }
  std::sort(views.begin(), views.end(), [](const EventView& left, const EventView& right) {
    return std::tie(left.time, left.node, left.sequence) < std::tie(right.time, right.node, right.sequence);
  });
  co_return views;
}

Task<Result<std::vector<MemberView>>> RingClient::members(TimePoint deadline) {
  Result<Survey> surveyed = co_await survey(deadline);
  if (!surveyed) co_return tl::unexpected(surveyed.error());
  const Placement& placement = client_.directory().placement();
  std::map<Uuid, std::size_t> primaries;
  for (std::size_t i = 0; i < placement.partitions(); ++i) {
    const std::vector<Uuid>& list = placement.preference_list(PartitionId{static_cast<std::uint32_t>(i)});
    if (!list.empty()) ++primaries[list.front()];
  }
  std::vector<MemberView> views;
  for (const Answering& node : surveyed->nodes) {
    MemberView view;
    view.id = node.member.id;
    view.address = node.member.address;
    view.rest_address = node.member.rest_address;
    view.state = node.member.state;
    view.tokens = node.member.tokens;
    view.share =
        static_cast<double>(primaries[view.id]) / static_cast<double>(std::max<std::size_t>(placement.partitions(), 1));
    view.answers = node.status.has_value();
    if (node.status) {
      view.used_bytes = node.status->database_bytes;
      view.disk_free_bytes = node.status->disk_free_bytes;
      view.disk_id = node.status->disk_id;
      view.no_space = node.status->no_space;
      view.round_trip = node.round_trip;
    }
    views.push_back(std::move(view));
  }
  co_return views;
}

Task<Result<std::vector<PartitionView>>> RingClient::partitions(TimePoint deadline) {
  Result<Survey> surveyed = co_await survey(deadline);
  if (!surveyed) co_return tl::unexpected(surveyed.error());
  co_return partition_views(*surveyed);
}

Task<Result<RouteView>> RingClient::lookup(std::string key, TimePoint deadline) {
  RouteView view;
  view.position = key_position(key);
  view.partition = partition_of(view.position, client_.partition_bits());
  view.key = std::move(key);
  Result<LookupRoute> route = co_await client_.lookup(anchor_of(view.partition, client_.partition_bits()), deadline);
  if (!route) co_return tl::unexpected(route.error());
  for (const LookupHop& hop : route->hops) {
    view.hops.push_back({hop.node.node, hop.node.address, hop.through, hop.round_trip});
  }
  view.primary = route->owner.node;
  view.replicas = client_.directory().placement().preference_list(view.partition);
  Result<Survey> surveyed = co_await survey(deadline);
  if (surveyed) view.leader = partition_views(*surveyed)[index_of(view.partition)].leader;
  co_return view;
}

// Nodes whose data lies on one file system share its space, so it counts once. What is free is what can be written
// before the first partition is full: contents are spread over all of them, each goes on while a majority of its
// replicas has room, and a node's room is shared by the partitions that it holds.
Task<Result<SpaceView>> RingClient::space(TimePoint deadline) {
  Result<Survey> surveyed = co_await survey(deadline);
  if (!surveyed) co_return tl::unexpected(surveyed.error());
  using Disk = std::pair<std::string, std::uint64_t>;
  auto disk_of = [](const Answering& node) {
    // A disk's number means something on its host only; nodes on several hosts have other addresses. 0: its own.
    if (node.status->disk_id == 0) return Disk(node.member.address, 0);
    return Disk(node.member.address.substr(0, node.member.address.rfind(':')), node.status->disk_id);
  };
  SpaceView space;
  std::map<Disk, std::uint64_t> sharers;
  std::size_t holders = 0;
  for (const Answering& node : surveyed->nodes) {
    if (!is_placed(node.member)) continue;
    ++holders;
    if (node.status && ++sharers[disk_of(node)] == 1) space.total_bytes += node.status->disk_total_bytes;
  }
  const auto& table = client_.directory().table();
  space.total_bytes /= std::max<std::uint64_t>(1, std::min<std::uint64_t>(table.replication(), holders));
  std::map<Uuid, double> room;  // of a partition on the node
  const std::size_t partitions = std::size_t{1} << client_.partition_bits();
  std::map<Uuid, std::size_t> held;
  for (std::size_t i = 0; i < partitions; ++i) {
    for (const Uuid& node : client_.directory().placement().preference_list(static_cast<PartitionId>(i))) ++held[node];
  }
  for (const Answering& node : surveyed->nodes) {
    if (!node.status || !held.contains(node.member.id)) continue;
    const double share = static_cast<double>(node.status->disk_free_bytes) /
                         static_cast<double>(std::max<std::uint64_t>(1, sharers[disk_of(node)]));
    room[node.member.id] = share / static_cast<double>(held[node.member.id]);
  }
  double least = static_cast<double>(space.total_bytes) / static_cast<double>(partitions);
  for (std::size_t i = 0; i < partitions; ++i) {
    std::vector<double> rooms;
    for (const Uuid& node : client_.directory().placement().preference_list(static_cast<PartitionId>(i)))
      rooms.push_back(room[node]);
    if (rooms.empty()) continue;
    std::sort(rooms.begin(), rooms.end());
    least = std::min(least, rooms[(rooms.size() - 1) / 2]);  // a majority has this much
  }
  space.free_bytes = static_cast<std::uint64_t>(least * static_cast<double>(partitions));
  co_return space;
}

std::string RingClient::metrics_text() {
  const ObjectClientCounters& counters = client_.counters();
  std::string text;
  counter(text, "reads_total", "Reads of one partition.", counters.reads);
  counter(text, "leased_reads_total", "Of the reads, those answered from memory under a row lease.",
          counters.leased_reads);
  counter(text, "recalls_total", "Row leases that leaders wanted back.", client_.leased_rows().recalls());
  counter(text, "commits_total", "Batches for one partition.", counters.commits);
  counter(text, "calls_total", "Operations sent to nodes, retries included.", counters.calls);
  counter(text, "redirects_total", "Answers that named another leader.", counters.redirects);
  counter(text, "pauses_total", "Times that nobody could answer at once.", counters.rounds);
  counter(text, "unanswered_total", "Calls that ended without an answer.", counters.unanswered);
  counter(text, "lookups_total", "Chord lookups.", counters.lookups);
  counter(text, "lookup_hops_total", "Nodes asked by Chord lookups.", counters.lookup_hops);
  counter(text, "table_refreshes_total", "Times that the members table was asked for.", counters.table_refreshes);
  counter(text, "timeouts_total", "Operations whose deadline passed.", counters.timeouts);
  text += "# HELP ringfs_client_lookup_hops_max Longest Chord lookup.\n# TYPE ringfs_client_lookup_hops_max gauge\n";
  text += "ringfs_client_lookup_hops_max " + std::to_string(counters.most_lookup_hops) + "\n";
  text +=
      "# HELP ringfs_client_leased_rows Rows in memory under a row lease.\n# TYPE ringfs_client_leased_rows gauge\n";
  text += "ringfs_client_leased_rows " + std::to_string(client_.leased_rows().size()) + "\n";
  return text;
}

}  // namespace ringfs::dht

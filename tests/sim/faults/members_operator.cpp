// Adds and removes nodes by batches on the members table.
#include "tests/sim/faults/members_operator.hpp"

#include <algorithm>

#include "dht/core/members/placement.hpp"

namespace ringfs::sim {

namespace {
using std::chrono::milliseconds;

constexpr Duration affiliate_interval = milliseconds(300);
constexpr unsigned most_looks_for_damage =
    300;                                   // a minute: damage is noticed and repaired sooner, unless nodes are away
constexpr std::size_t enough_rows = 4096;  // of the table, in one scan
// The members that the placement gives partitions, or the others.
std::vector<dht::Member> members_of(const dht::MembersTable& table, bool placed) {
  std::vector<dht::Member> members;
  for (const dht::Member& member : table.members) {
    const bool is_placed = member.state == MemberState::up || member.state == MemberState::joining;
    if (is_placed == placed) members.push_back(member);
  }
  return members;
}

dht::MembersChange change_member(const dht::MembersTable& table, const dht::Member& member) {
  return change_members(table, std::vector<dht::Member>(1, member));
}

}  // namespace

Task<void> MembersOperator::work(ObjectStore* store) {
  if (options_.grow_and_shrink) co_await grow_and_shrink(store);
  while (!stopped_) {
    co_await store->sleep(world_.between(options_.pause_low, options_.pause_high));
    if (!stopped_) co_await change(store);
  }
}

Task<void> MembersOperator::change(ObjectStore* store) {
  Result<dht::MembersTable> table = co_await read_table(store);
  if (!table) co_return;
  std::uint64_t die = world_.between(0, 99);
  if (die < 40) {
    co_await join(store, std::move(*table));
  } else if (die < 70) {
    co_await leave(store, std::move(*table));
  } else if (die < 95) {
    co_await come_back(store, std::move(*table));
  } else {
    co_await replicate(store, std::move(*table));
  }
}

// Each step as soon as the one before is committed; data may still be moving.
Task<void> MembersOperator::grow_and_shrink(ObjectStore* store) {
  for (const std::size_t wanted : {2, 3, 2, 1}) {
    while (!stopped_) {
      co_await store->sleep(world_.between(options_.pause_low, options_.pause_high));
      Result<dht::MembersTable> table = co_await read_table(store);
      if (!table) continue;
      const std::size_t now = members_of(*table, true).size();
      if (now == wanted) break;
      const bool some_wait = table->members.size() < cluster_.size();
      if (now > wanted)
        co_await leave(store, std::move(*table));
      else if (some_wait)
        co_await join(store, std::move(*table));
      else
        co_await come_back(store, std::move(*table));
    }
  }
  if (!stopped_) world_.count("members: 1, 2, 3 and 1 nodes");
}

Task<Result<dht::MembersTable>> MembersOperator::read_table(ObjectStore* store) {
  ReadRequest request;
  ReadRequest::Scan scan;
  scan.key = dht::members_key;
  scan.max_rows = enough_rows;
  request.scans.push_back(std::move(scan));
  Result<ReadReply> reply = co_await store->read(std::move(request), store->clock().now + options_.operation_timeout);
  if (!reply) co_return tl::unexpected(reply.error());
  co_return dht::table_from_rows(reply->scans.at(0).rows);
}

Task<bool> MembersOperator::commit(ObjectStore* store, dht::MembersChange change) {
  CommitRequest request;
  request.conditions = std::move(change.conditions);
  request.mutations = std::move(change.mutations);
  Result<CommitReply> reply =
      co_await store->commit(std::move(request), store->clock().now + options_.operation_timeout);
  co_return reply && reply->applied;
}

Task<bool> MembersOperator::copies_are_sound(ObjectStore* store, std::uint64_t from, dht::MembersTable after) {
  if (cluster_.has_spare_copies(after)) co_return true;
  cluster_.begin_to_take_copies(from);
  if (cluster_.any_damaged()) world_.count("members: sound copies are waited for");
  for (unsigned i = 0; cluster_.any_damaged(); ++i) {
    if (stopped_ || i == most_looks_for_damage) co_return false;
    co_await store->sleep(milliseconds(200));
  }
  co_return true;
}

dht::Member MembersOperator::joining(const dht::MembersTable& table, const SimNode& node) const {
  dht::Member member;
  member.id = node.id();
  member.address = node.address();
  member.state = MemberState::joining;
  member.tokens = dht::allocate_tokens(table, member.id, cluster_.options().partition_bits, cluster_.options().tokens);
  return member;
}

// One waiting node, or two whose tokens may be neighbours.
Task<void> MembersOperator::join(ObjectStore* store, dht::MembersTable table) {
  const std::uint64_t before = table.version;
  dht::MembersTable after = table;
  std::vector<dht::Member> members;
  const std::size_t most = world_.chance(0.3) ? 2 : 1;
  for (unsigned i = 0; i < cluster_.size() && members.size() < most; ++i) {
    if (after.find(cluster_.node(i).id()) != nullptr) continue;
    members.push_back(joining(after, cluster_.node(i)));
    after.members.push_back(members.back());
    std::sort(after.members.begin(), after.members.end(),
              [](const dht::Member& a, const dht::Member& b) { return a.id < b.id; });
  }
  if (members.empty()) co_return;
  dht::MembersChange wanted = change_members(table, members);
  const bool done = co_await commit(store, std::move(wanted));
  for (const dht::Member& member : members)
    affiliate(cluster_.find(member.id)->index());  // the batch may have been executed
  if (!done) co_return;
  world_.count(members.size() == 2 ? "members: two join at once" : "members: one joins");
  world_.trace("join", members.size(), before);
}

void MembersOperator::affiliate(unsigned index) {
  SimNode& node = cluster_.node(index);
  if (node.durable_disk().genesis) return;
  const dht::MembersTable& table = cluster_.table();
  if (table.find(node.id()) != nullptr && node.running()) {
    node.submit(dht::JoinOperation{cluster_.genesis(), table}, [](const dht::OperationResult&, Stamp) {});
  }
  world_.after(affiliate_interval, [this, index] { affiliate(index); });
}

// Any node, or often the leader of the table's own partition. Sometimes it is declared dead instead; sometimes it comes
// back at once.
Task<void> MembersOperator::leave(ObjectStore* store, dht::MembersTable table) {
  std::vector<dht::Member> members = members_of(table, true);
  if (members.size() < 2) co_return;
  dht::Member member = members[static_cast<std::size_t>(world_.between(0, members.size() - 1))];
  PartitionId home = partition_of(key_position(dht::members_key), cluster_.options().partition_bits);
  const Uuid leader = cluster_.invariants().newest_leader(home).second;
  for (const dht::Member& one : members) {
    if (one.id == leader && world_.chance(0.3)) member = one;
  }
  const bool tokens_left = std::any_of(members.begin(), members.end(), [&](const dht::Member& one) {
    return one.id != member.id && !one.tokens.empty();
  });
  if (!tokens_left) co_return;
  const bool home_leader = member.id == leader;
  const bool dead = world_.chance(0.3);
  if (dead) member.state = MemberState::dead;
  const char* what = dead ? "members: one is called dead" : "members: one leaves";
  dht::MembersTable after = table;
  for (dht::Member& one : after.members) {
    if (one.id == member.id) one.state = MemberState::leaving;
  }
  const bool sound = co_await copies_are_sound(store, table.version, std::move(after));
  if (!sound) co_return;
  std::vector<dht::Member> changed = dht::leave_members(table, member.id, cluster_.options().partition_bits);
  dht::MembersChange wanted = dead ? change_member(table, member) : change_members(table, changed);
  const bool done = co_await commit(store, std::move(wanted));
  if (!done) co_return;
  world_.count(what);
  if (home_leader) world_.count("members: the leader of the table's partition leaves");
  world_.trace("leave", table.version);
  if (!world_.chance(options_.back_again)) co_return;
  co_await store->sleep(world_.between(milliseconds(50), milliseconds(1500)));
  Result<dht::MembersTable> now = co_await read_table(store);
  if (!now) co_return;
  dht::MembersTable newest = std::move(*now);
  co_await come_back(store, std::move(newest));
}

Task<void> MembersOperator::come_back(ObjectStore* store, dht::MembersTable table) {
  std::vector<dht::Member> members = members_of(table, false);
  if (members.empty()) co_return;
  dht::Member member = members[static_cast<std::size_t>(world_.between(0, members.size() - 1))];
  // Its tokens may belong to others by now, unless it was declared dead.
  if (member.state == MemberState::removed || member.tokens.empty()) member = joining(table, *cluster_.find(member.id));
  member.state = MemberState::joining;
  dht::MembersChange wanted = change_member(table, member);
  const bool done = co_await commit(store, std::move(wanted));
  if (!done) co_return;
  world_.count("members: one comes back");
  world_.trace("come back", table.version);
}

Task<void> MembersOperator::replicate(ObjectStore* store, dht::MembersTable table) {
  const unsigned replication = static_cast<unsigned>(world_.between(1, 2)) * 2 - 1 + (world_.chance(0.2) ? 2 : 0);
  dht::MembersTable after = table;
  after.settings["replication"] = std::to_string(replication);
  const bool sound = co_await copies_are_sound(store, table.version, std::move(after));
  if (!sound) co_return;
  dht::MembersChange wanted = dht::change_setting(table, "replication", std::to_string(replication));
  const bool done = co_await commit(store, std::move(wanted));
  if (done) world_.count("members: another replication");
}

}  // namespace ringfs::sim

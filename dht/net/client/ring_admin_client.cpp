// Adding and removing members, and changing settings, as edits of the members table.
#include "dht/net/client/ring_admin_client.hpp"

#include <algorithm>
#include <set>

#include "dht/base/ring/settings.hpp"
#include "dht/core/members/joining.hpp"
#include "dht/core/members/placed_members.hpp"
#include "dht/core/members/placement.hpp"
#include "dht/net/client/members_edit.hpp"
#include "dht/net/sockets/dial.hpp"

namespace ringfs::dht {

namespace {

constexpr Duration answer_time = std::chrono::seconds(4);  // of a node that is to be added
constexpr Duration agreed_time = std::chrono::seconds(3);  // longer than a node that dies or freezes holds the table up
constexpr Duration tell_pause = std::chrono::milliseconds(100);

// By id, or by address: of several that had it the one that is a member now.
Member* named_member(MembersTable& table, const std::string& name) {
  if (const Result<Uuid> id = parse_uuid(name)) {
    Member* member = find_member(table, *id);
    return member != nullptr && member->state != MemberState::removed ? member : nullptr;
  }
  const auto found = std::find_if(table.members.begin(), table.members.end(), [&](const Member& one) {
    return one.address == name && one.state != MemberState::removed;
  });
  return found == table.members.end() ? nullptr : &*found;
}

// Its tokens go to others, so that its load spreads.
Status put_leaving(MembersTable& table, const std::string& name, bool force, unsigned partition_bits, Uuid& node) {
  Member* member = named_member(table, name);
  if (member == nullptr) return fail(ErrorCode::not_found, "no such member " + name);
  node = member->id;
  if (member->state == MemberState::leaving) return fail(ErrorCode::busy, name + " is being removed already");
  const auto others =
      static_cast<std::size_t>(std::count_if(table.members.begin(), table.members.end(), [&](const Member& one) {
        return one.id != member->id && is_placed(one);
      }));
  const std::size_t now = others + (is_placed(*member) ? 1 : 0);
  const std::size_t needed = std::min<std::size_t>(table.replication(), now);
  if (others == 0)
    return fail(ErrorCode::too_few_nodes, name + " is the last node: it holds the only copy of everything");
  if (others < needed && !force) {
    return fail(ErrorCode::too_few_nodes, std::to_string(others) + " would remain for " +
                                              std::to_string(table.replication()) +
                                              " copies; add another one first, or force it");
  }
  for (const Member& changed : leave_members(table, node, partition_bits)) *find_member(table, changed.id) = changed;
  return {};
}

}  // namespace

Task<Result<NodeStatus>> RingAdminClient::ask_status(std::string address, TimePoint deadline) {
  Operation question{StatusOperation{}};
  OperationResult result = co_await transport_.call(address, Uuid{}, std::move(question),
                                                    std::min(deadline, transport_.now() + answer_time));
  if (!result) {
    const Error& error = result.error().error;
    co_return fail(error.code, error.context.empty() ? "node " + address : error.context);
  }
  NodeStatus* status = std::get_if<NodeStatus>(&*result);
  if (status == nullptr) co_return fail(ErrorCode::corrupt, "node " + address + " gives no status");
  co_return std::move(*status);
}

Task<Result<Uuid>> RingAdminClient::add(std::string address, TimePoint deadline) {
  if (Result<HostPort> parts = split_address(address); !parts) co_return tl::unexpected(parts.error());
  Result<NodeStatus> status = co_await ask_status(address, deadline);
  if (!status) co_return tl::unexpected(status.error());
  const Uuid ring = client_.directory().genesis().ring;
  if (status->ring && *status->ring != ring) {
    co_return fail(ErrorCode::foreign_ring, address + " belongs to the ring " + status->ring->text());
  }
  const Uuid node = status->node;
  bool member_before = false;
  auto change = [&](MembersTable& table) -> Status {
    const Member* known = find_member(table, node);
    member_before = known != nullptr && (known->state == MemberState::joining || known->state == MemberState::up);
    return put_joining(table, node, address, client_.partition_bits());
  };
  Result<MembersTable> table = co_await edit_members_table(client_, change, deadline);
  if (!table) co_return tl::unexpected(table.error());
  // Interrupted between its row and its being told: it still waits.
  if (member_before && status->ring) co_return fail(ErrorCode::already_member, address + " is node " + node.text());
  Status told = co_await tell(address, node, std::move(*table), deadline);
  if (!told) co_return fail(told.error().code, "the node is a member now, but was not told: " + told.error().text());
  static_cast<void>(co_await client_.refresh_table(deadline));  // else it comes with a later answer
  co_return node;
}

// It is a member from the moment of the commit: what it misses now, saying `add` again brings.
Task<Status> RingAdminClient::tell(std::string address, Uuid node, MembersTable table, TimePoint deadline) {
  for (;;) {
    Operation join{JoinOperation{client_.directory().genesis(), table}};
    OperationResult result =
        co_await transport_.call(address, node, std::move(join), std::min(deadline, transport_.now() + answer_time));
    if (result) co_return Status();
    const Error error = result.error().error;
    const bool again =
        not_reached(error.code) || error.code == ErrorCode::timeout || error.code == ErrorCode::unavailable;
    if (!again || transport_.now() + tell_pause >= deadline) co_return tl::unexpected(error);
    co_await transport_.sleep(tell_pause);
  }
}

// Counts the nodes that answer; the room of the others is not known.
Task<Status> RingAdminClient::check_room(Uuid leaving, TimePoint deadline) {
  Result<std::vector<MemberView>> members = co_await view_.members(deadline);
  if (!members) co_return tl::unexpected(members.error());
  std::uint64_t needed = 0, room = 0;
  std::set<std::pair<std::string, std::uint64_t>> seen;
  for (const MemberView& member : *members) {
    if (member.id == leaving) needed = member.used_bytes;
  }
  for (const MemberView& member : *members) {
    if (member.id == leaving || !member.answers || member.no_space) continue;
    if (seen.insert({member.address.substr(0, member.address.rfind(':')), member.disk_id}).second)
      room += member.disk_free_bytes;
  }
  if (room >= needed) co_return Status();
  co_return fail(ErrorCode::no_space,
                 "the others have room for " + std::to_string(room) + " bytes, it holds " + std::to_string(needed));
}

Task<Result<Uuid>> RingAdminClient::remove(std::string member, bool force, TimePoint deadline) {
  if (member.empty()) co_return fail(ErrorCode::invalid_argument, "a member's id or host:port");
  if (!parse_uuid(member)) {
    if (Result<HostPort> parts = split_address(member); !parts) {
      co_return fail(ErrorCode::invalid_argument, "neither a member's id nor host:port: " + member);
    }
  }
  Result<MembersTable> current = co_await read_members_table(client_, deadline);
  if (!current) co_return tl::unexpected(current.error());
  if (Member* known = named_member(*current, member); known != nullptr && !force) {
    Status room = co_await check_room(known->id, deadline);
    if (!room) co_return tl::unexpected(room.error());
  }
  Uuid node;
  auto change = [&](MembersTable& table) { return put_leaving(table, member, force, client_.partition_bits(), node); };
  Result<MembersTable> table = co_await edit_members_table(client_, change, deadline);
  if (!table) co_return tl::unexpected(table.error());
  static_cast<void>(co_await client_.refresh_table(deadline));  // else it comes with a later answer
  co_return node;
}

Task<Result<std::map<std::string, std::string>>> RingAdminClient::settings(TimePoint deadline) {
  Result<MembersTable> table = co_await read_members_table(client_, std::min(deadline, transport_.now() + agreed_time));
  if (!table && table.error().code != ErrorCode::timeout) co_return tl::unexpected(table.error());
  if (!table) {
    // The table's partition has no quorum: what the nodes that answer know is all that anybody can say.
    Status refreshed = co_await client_.refresh_table(std::min(deadline, transport_.now() + agreed_time));
    if (!refreshed) co_return tl::unexpected(refreshed.error());
    table = client_.directory().table();
  }
  std::map<std::string, std::string> values;
  for (const SettingRule& rule : setting_rules()) {
    values.emplace(rule.name, std::to_string(setting_value(table->settings, rule.name)));
  }
  co_return values;
}

Task<Status> RingAdminClient::set(std::string name, std::string value, TimePoint deadline) {
  Result<std::uint64_t> number = parse_setting(name, value);
  if (!number) co_return tl::unexpected(number.error());
  auto change = [&](MembersTable& table) -> Status {
    table.settings[name] = std::to_string(*number);
    return {};
  };
  Result<MembersTable> table = co_await edit_members_table(client_, change, deadline);
  if (!table) co_return tl::unexpected(table.error());
  co_return Status();
}

}  // namespace ringfs::dht

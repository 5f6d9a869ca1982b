// The row of a node that joins.
#include "dht/core/members/joining.hpp"

#include <algorithm>

#include "dht/core/members/placement.hpp"

namespace ringfs::dht {

Member* find_member(MembersTable& table, const Uuid& id) {
  const auto found =
      std::find_if(table.members.begin(), table.members.end(), [&](const Member& one) { return one.id == id; });
  return found == table.members.end() ? nullptr : &*found;
}

Status put_joining(MembersTable& table, const Uuid& node, const std::string& address, unsigned partition_bits) {
  Member* known = find_member(table, node);
  if (known != nullptr && known->state == MemberState::leaving) {
    return fail(ErrorCode::busy, "node " + node.text() + " is being removed");
  }
  const bool returns = known != nullptr && (known->state == MemberState::removed || known->state == MemberState::dead);
  if (known != nullptr && !returns) return {};
  if (known == nullptr && table.members.size() >= max_members) {
    // The row of one that was removed only says so to itself, should it come back: the others refuse whom the table
    // does not name.
    const auto past = std::find_if(table.members.begin(), table.members.end(),
                                   [](const Member& one) { return one.state == MemberState::removed; });
    if (past == table.members.end()) {
      return fail(ErrorCode::out_of_range, "a ring has at most " + std::to_string(max_members) + " members");
    }
    table.members.erase(past);
  }
  const std::optional<KeyHash> key = known == nullptr ? std::nullopt : known->key;
  // Tokens are chosen for the table without it.
  std::erase_if(table.members, [&](const Member& one) { return one.id == node; });
  Member member;
  member.id = node;
  member.address = address;
  member.state = MemberState::joining;
  member.key = key;
  member.tokens = allocate_tokens(table, node, partition_bits);
  table.members.push_back(std::move(member));
  return {};
}

}  // namespace ringfs::dht

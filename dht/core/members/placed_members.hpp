// Who holds data or should: the members to whom the placement gives partitions (docs/design.md#placement).
#pragma once

#include "dht/core/protocol/members_table.hpp"

namespace ringfs::dht {

inline bool is_placed(const Member& member) {
  return member.state == MemberState::up || member.state == MemberState::joining;
}

}  // namespace ringfs::dht

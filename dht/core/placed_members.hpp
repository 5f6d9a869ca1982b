// Who holds data or should: the members to whom the placement gives partitions (design 4).
#pragma once

#include "dht/core/members_table.hpp"

namespace ringfs {

inline bool is_placed(const Member& member) { return member.state == MemberState::up || member.state == MemberState::joining; }

}  // namespace ringfs

// The state of a member of the ring (docs/design.md#members-table).
#pragma once

#include <cstdint>
#include <string_view>

namespace ringfs {

enum class MemberState : std::uint8_t { joining = 1, up = 2, leaving = 3, dead = 4, removed = 5 };
std::string_view to_string(MemberState state);

}  // namespace ringfs

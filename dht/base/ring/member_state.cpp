// The names of a member's states.
#include "dht/base/ring/member_state.hpp"

namespace ringfs {

std::string_view to_string(MemberState state) {
  switch (state) {
    case MemberState::joining: return "joining";
    case MemberState::up: return "up";
    case MemberState::leaving: return "leaving";
    case MemberState::dead: return "dead";
    case MemberState::removed: return "removed";
  }
  return "unknown";
}

}  // namespace ringfs

// What changes of a group's durable state do to its record.
#include "dht/core/protocol/persisted_state.hpp"

#include <utility>

namespace ringfs::dht {

void GroupRecord::reset(const ReplicaReset& reset) {
  GroupRecord fresh;
  fresh.hard_state = hard_state;
  fresh.replica = {replica.node, reset.added};
  fresh.holds_data = false;
  fresh.configuration = reset.configuration;
  fresh.configuration_index = reset.configuration_index;
  *this = std::move(fresh);
}

void GroupRecord::install(const InstallSnapshot& snapshot) {
  damage = Damage::none;
  holds_data = true;
  base_index = applied = snapshot.last_index;
  base_term = applied_term = snapshot.last_term;
  base_stamp = snapshot.last_stamp;
  configuration = snapshot.configuration;
  configuration_index = snapshot.configuration_index;
}

void GroupRecord::compact_through(const Entry& entry) {
  base_index = entry.index;
  base_term = entry.term;
  base_stamp = entry.stamp;
}

Status GroupRecord::apply(const Entry& entry) {
  if (entry.kind == EntryKind::configuration) {
    Result<Configuration> decoded = decode_configuration(entry.head.view());
    if (!decoded) return tl::unexpected(decoded.error());
    configuration = std::move(*decoded);
    configuration_index = entry.index;
  }
  applied = entry.index;
  applied_term = entry.term;
  return {};
}

}  // namespace ringfs::dht

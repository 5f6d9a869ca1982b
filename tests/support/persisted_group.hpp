// What a store of the tests gives to a node that starts, of one group. Threads: none.
#pragma once

#include "dht/core/protocol/persisted_state.hpp"

namespace ringfs::dht {

// `entries`: of the log, in order.
template <class Entries>
PersistedGroup persisted_group(PartitionId partition, const Uuid& self, const GroupRecord& record,
                               const Entries& entries) {
  PersistedGroup persisted;
  static_cast<GroupRecord&>(persisted) = record;
  persisted.partition = partition;
  persisted.replica.node = self;
  persisted.last_stamp = record.base_stamp;
  if (record.damage == Damage::log) {
    persisted.base_index = record.applied;
    persisted.base_term = record.applied_term;
  }
  for (const Entry& entry : entries) {
    persisted.last_stamp = entry.stamp;
    if (record.damage == Damage::log) continue;
    persisted.log.push_back({entry.index, entry.term, static_cast<std::uint32_t>(entry.bytes())});
    if (entry.kind == EntryKind::configuration && entry.index > record.applied)
      persisted.configuration_entries.push_back(entry);
  }
  return persisted;
}

}  // namespace ringfs::dht

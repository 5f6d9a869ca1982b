// A node's durable state when it stopped, as its store gives it to the node that starts.
//
// Threads: none. Limits: max_members, and as many groups as the ring has partitions.
#pragma once

#include <optional>
#include <utility>
#include <vector>

#include "dht/core/protocol/effects.hpp"
#include "dht/core/protocol/genesis.hpp"

namespace ringfs::dht {

struct PersistedGroup {
  PartitionId partition{};
  HardState hard_state;
  ReplicaId replica;            // this node's own identity in the group
  bool holds_data = true;       // false since a ReplicaReset, until a snapshot is installed: no rows, no log
  Configuration configuration;  // the newest one applied or installed
  LogIndex configuration_index = 0;
  LogIndex applied = 0;
  LogIndex base_index = 0;  // the entry before the log's first one
  Term base_term = 0;
  std::vector<EntryInfo> log;                // base_index + 1, base_index + 2, ...
  std::vector<Entry> configuration_entries;  // entries of kind configuration above `applied`, with their bodies
  Stamp last_stamp;                          // of the log's last entry, or of the base
  // Found by this process or an earlier one. With Damage::log the log is left out (base_index = applied), and the hard
  // state and the configuration may be unknown (term 0, empty): only partition and replica must be right.
  Damage damage = Damage::none;
};

struct PersistedNode {
  Uuid id;
  Incarnation incarnation;  // of this run: already raised and fsynced
  std::optional<Genesis> genesis;
  std::optional<MembersTable> table;
  std::vector<std::pair<Uuid, Incarnation>> peer_incarnations;
  std::vector<PersistedGroup> groups;
};

}  // namespace ringfs::dht

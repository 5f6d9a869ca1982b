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

// A group's durable state without its rows and its log's entries.
struct GroupRecord {
  HardState hard_state;
  ReplicaId replica;            // this node's own identity in the group
  bool holds_data = true;       // false since a ReplicaReset, until a snapshot is installed: no rows, no log
  Configuration configuration;  // the newest one applied or installed
  LogIndex configuration_index = 0;
  LogIndex applied = 0;
  Term applied_term = 0;
  LogIndex base_index = 0;  // the entry before the log's first one
  Term base_term = 0;
  Stamp base_stamp;
  // Found by this process or an earlier one. With Damage::log the hard state and the configuration may be unknown (term
  // 0, empty): only the replica must be right.
  Damage damage = Damage::none;

  // What parts of a GroupWrite, and an apply, make of it.
  void reset(const ReplicaReset& reset);
  void install(const InstallSnapshot& snapshot);
  void compact_through(const Entry& entry);
  Status apply(const Entry& entry);  // corrupt: a configuration that does not decode
};

struct PersistedGroup : GroupRecord {
  PartitionId partition{};
  std::vector<EntryInfo> log;                // base_index + 1, ...; with Damage::log left out, and base_index = applied
  std::vector<Entry> configuration_entries;  // entries of kind configuration above `applied`, with their bodies
  Stamp last_stamp;                          // of the log's last entry, or of the base
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

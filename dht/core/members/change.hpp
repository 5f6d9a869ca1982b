// How a change of the members table is committed: one batch in the table's partition
// (partition_of(key_position(members_key))).
//
// The batch applies only to the version of the table that it was derived from. If somebody else changed the table in
// between, its condition fails, and whoever wants the change reads the table and derives it again. Threads: none.
#pragma once

#include <string>
#include <vector>

#include "dht/base/rows.hpp"
#include "dht/core/protocol/members_table.hpp"

namespace ringfs::dht {

struct MembersChange {
  std::vector<Condition> conditions;
  std::vector<Mutation> mutations;
};

// Puts these members' rows, new ones or in place of those with the same uuid, and raises the table's version.
MembersChange change_members(const MembersTable& before, const std::vector<Member>& members);
// Whatever differs between them, the version excepted.
MembersChange change_table(const MembersTable& before, const MembersTable& after);
// Sets a ring-wide setting; an empty value takes it away.
MembersChange change_setting(const MembersTable& before, const std::string& name, const std::string& value);

}  // namespace ringfs::dht

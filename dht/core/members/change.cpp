// Rows of the members table as conditions and mutations of one batch.
#include "dht/core/members/change.hpp"

#include <map>

namespace ringfs::dht {

namespace {

Mutation put(InitialRow row) {
  Mutation mutation;
  mutation.kind = Mutation::Kind::put;
  mutation.row = std::move(row.row);
  mutation.value = SharedBytes(std::move(row.value));
  return mutation;
}

// The row of the version, as rows_of() makes it.
InitialRow version_row(std::uint64_t version) {
  MembersTable table;
  table.version = version;
  return rows_of(table).front();
}

MembersChange raised_version(const MembersTable& before) {
  MembersChange change;
  InitialRow version = version_row(before.version);
  Condition unchanged;
  unchanged.kind = Condition::Kind::value_equals;
  unchanged.row = version.row;
  unchanged.value = SharedBytes(version.value);
  change.conditions.push_back(std::move(unchanged));
  change.mutations.push_back(put(version_row(before.version + 1)));
  return change;
}

std::map<RowAddress, std::string> row_map(MembersTable table) {
  table.version = 0;
  std::map<RowAddress, std::string> rows;
  for (InitialRow& row : rows_of(table)) rows.emplace(std::move(row.row), std::move(row.value));
  return rows;
}

}  // namespace

MembersChange change_table(const MembersTable& before, const MembersTable& after) {
  const std::map<RowAddress, std::string> old_rows = row_map(before), new_rows = row_map(after);
  MembersChange change = raised_version(before);
  for (const auto& [row, value] : new_rows) {
    const auto known = old_rows.find(row);
    if (known == old_rows.end() || known->second != value) change.mutations.push_back(put({row, value}));
  }
  for (const auto& [row, value] : old_rows) {
    if (new_rows.contains(row)) continue;
    change.mutations.push_back(put({row, {}}));
    change.mutations.back().kind = Mutation::Kind::erase;
  }
  return change;
}

MembersChange change_members(const MembersTable& before, const std::vector<Member>& members) {
  MembersChange change = raised_version(before);
  for (const Member& member : members) change.mutations.push_back(put(member_row(member)));
  return change;
}

MembersChange change_setting(const MembersTable& before, const std::string& name, const std::string& value) {
  MembersChange change = raised_version(before);
  change.mutations.push_back(put(setting_row(name, value)));
  if (value.empty()) change.mutations.back().kind = Mutation::Kind::erase;
  return change;
}

}  // namespace ringfs::dht

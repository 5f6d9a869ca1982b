#include "dht/net/members_edit.hpp"

#include <algorithm>

#include "dht/net/partitioned_store.hpp"

namespace ringfs {

namespace {

constexpr unsigned max_edits = 16;  // lost to others one after the other
constexpr Duration first_pause = std::chrono::milliseconds(5);
constexpr Duration longest_pause = std::chrono::milliseconds(200);

std::map<RowAddress, std::string> row_map(const MembersTable& table) {
  std::map<RowAddress, std::string> rows;
  for (InitialRow& row : rows_of(table)) rows.emplace(std::move(row.row), std::move(row.value));
  return rows;
}

Mutation put_row(const RowAddress& row, const std::string& value) {
  Mutation mutation;
  mutation.kind = Mutation::Kind::put;
  mutation.row = row;
  mutation.value = SharedBytes(value);
  return mutation;
}

// The rows that differ. On condition of the version alone: every change of the table raises it.
CommitRequest difference(const MembersTable& before, const MembersTable& after) {
  const std::map<RowAddress, std::string> old_rows = row_map(before), new_rows = row_map(after);
  const RowAddress version{std::string(members_key), "v"};
  CommitRequest commit;
  Condition unchanged;
  unchanged.kind = Condition::Kind::value_equals;
  unchanged.row = version;
  unchanged.value = SharedBytes(old_rows.at(version));
  commit.conditions.push_back(std::move(unchanged));
  for (const auto& [row, value] : new_rows) {
    const auto known = old_rows.find(row);
    if (known == old_rows.end() || known->second != value) commit.mutations.push_back(put_row(row, value));
  }
  for (const auto& [row, value] : old_rows) {
    if (new_rows.contains(row)) continue;
    Mutation gone;
    gone.kind = Mutation::Kind::erase;
    gone.row = row;
    commit.mutations.push_back(std::move(gone));
  }
  return commit;
}

}  // namespace

Task<Result<MembersTable>> read_members_table(ObjectStore& store, TimePoint deadline) {
  std::vector<Row> rows;
  for (bool more = true; more;) {
    ReadRequest request;
    ReadRequest::Scan scan;
    scan.key = members_key;
    if (!rows.empty()) scan.after = rows.back().sort;
    request.scans.push_back(std::move(scan));
    Result<ReadReply> reply = co_await store.read(std::move(request), deadline);
    if (!reply) co_return tl::unexpected(reply.error());
    ReadReply::ScanResult& page = reply->scans.at(0);
    more = page.more && !page.rows.empty();
    for (Row& row : page.rows) rows.push_back(std::move(row));
  }
  co_return table_from_rows(rows);
}

Task<Result<MembersTable>> edit_members_table(ObjectStore& store, std::function<Status(MembersTable&)> change, TimePoint deadline) {
  Backoff backoff(store.random(), first_pause, longest_pause);
  for (unsigned edit = 0; edit < max_edits; ++edit) {
    Result<MembersTable> before = co_await read_members_table(store, deadline);
    if (!before) co_return tl::unexpected(before.error());
    MembersTable after = *before;
    Status changed = change(after);
    if (!changed) co_return tl::unexpected(changed.error());
    std::sort(after.members.begin(), after.members.end(), [](const Member& left, const Member& right) { return left.id < right.id; });
    if (after == *before) co_return after;
    after.version = before->version + 1;
    Result<CommitReply> committed = co_await store.commit(difference(*before, after), deadline);
    if (!committed) co_return tl::unexpected(committed.error());
    if (committed->applied) co_return after;
    co_await store.sleep(backoff.next());
  }
  co_return fail(ErrorCode::busy, "others change the members table all the time");
}

}  // namespace ringfs

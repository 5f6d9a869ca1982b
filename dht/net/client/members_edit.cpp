// Read, change, commit; again when another change came first.
#include "dht/net/client/members_edit.hpp"

#include <algorithm>

#include "dht/core/members/change.hpp"
#include "dht/net/client/partitioned_store.hpp"

namespace ringfs::dht {

namespace {

constexpr unsigned max_edits = 16;  // lost to others one after the other
constexpr Duration first_pause = std::chrono::milliseconds(5);
constexpr Duration longest_pause = std::chrono::milliseconds(200);

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

Task<Result<MembersTable>> edit_members_table(ObjectStore& store, std::function<Status(MembersTable&)> change,
                                              TimePoint deadline) {
  Backoff backoff(store.random(), first_pause, longest_pause);
  for (unsigned edit = 0; edit < max_edits; ++edit) {
    Result<MembersTable> before = co_await read_members_table(store, deadline);
    if (!before) co_return tl::unexpected(before.error());
    MembersTable after = *before;
    Status changed = change(after);
    if (!changed) co_return tl::unexpected(changed.error());
    std::sort(after.members.begin(), after.members.end(),
              [](const Member& left, const Member& right) { return left.id < right.id; });
    if (after == *before) co_return after;
    after.version = before->version + 1;
    MembersChange rows = change_table(*before, after);
    CommitRequest commit{std::move(rows.conditions), std::move(rows.mutations)};
    Result<CommitReply> committed = co_await store.commit(std::move(commit), deadline);
    if (!committed) co_return tl::unexpected(committed.error());
    if (committed->applied) co_return after;
    co_await store.sleep(backoff.next());
  }
  co_return fail(ErrorCode::busy, "others change the members table all the time");
}

}  // namespace ringfs::dht

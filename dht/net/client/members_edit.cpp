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

tl::unexpected<Error> lost_every_time() {
  return fail(ErrorCode::busy, "others change the members table all the time");
}

void set_in_order(MembersTable& table) {
  std::sort(table.members.begin(), table.members.end(),
            [](const Member& left, const Member& right) { return left.id < right.id; });
  std::sort(table.clients.begin(), table.clients.end(),
            [](const Client& left, const Client& right) { return left.name < right.name; });
}

// Whether all parts were committed; false: a condition does not hold, or a rival came first.
Task<Result<bool>> commit_parts(ObjectStore& store, std::vector<TransactionPart> parts, TimePoint deadline) {
  if (parts.size() == 1) {
    CommitRequest commit{std::move(parts.front().conditions), std::move(parts.front().mutations)};
    Result<CommitReply> reply = co_await store.commit(std::move(commit), deadline);
    if (!reply) co_return tl::unexpected(reply.error());
    co_return reply->applied;
  }
  std::unique_ptr<Transaction> transaction = store.begin(deadline);
  for (TransactionPart& part : parts) {
    Result<CommitReply> prepared = co_await transaction->prepare(std::move(part));
    if (prepared && prepared->applied) continue;
    co_await transaction->abort();
    if (!prepared && prepared.error().code != ErrorCode::aborted) co_return tl::unexpected(prepared.error());
    co_return false;
  }
  Status committed = co_await transaction->commit();
  if (!committed && committed.error().code != ErrorCode::aborted) co_return tl::unexpected(committed.error());
  co_return committed.has_value();
}

}  // namespace

Task<Result<std::vector<Row>>> read_object(ObjectStore& store, std::string key, TimePoint deadline) {
  std::vector<Row> rows;
  for (bool more = true; more;) {
    ReadRequest request;
    ReadRequest::Scan scan;
    scan.key = key;
    if (!rows.empty()) scan.after = rows.back().sort;
    request.scans.push_back(std::move(scan));
    Result<ReadReply> reply = co_await store.read(std::move(request), deadline);
    if (!reply) co_return tl::unexpected(reply.error());
    ReadReply::ScanResult& page = reply->scans.at(0);
    more = page.more && !page.rows.empty();
    for (Row& row : page.rows) rows.push_back(std::move(row));
  }
  co_return rows;
}

Task<Result<MembersTable>> read_members_table(ObjectStore& store, TimePoint deadline) {
  Result<std::vector<Row>> rows = co_await read_object(store, std::string(members_key), deadline);
  if (!rows) co_return tl::unexpected(rows.error());
  co_return table_from_rows(*rows);
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
    set_in_order(after);
    if (after == *before) co_return after;
    after.version = before->version + 1;
    MembersChange rows = change_table(*before, after);
    CommitRequest commit{std::move(rows.conditions), std::move(rows.mutations)};
    Result<CommitReply> committed = co_await store.commit(std::move(commit), deadline);
    if (!committed) co_return tl::unexpected(committed.error());
    if (committed->applied) co_return after;
    co_await store.sleep(backoff.next());
  }
  co_return lost_every_time();
}

Task<Result<MembersTable>> edit_members_table_beside(ObjectStore& store, ReadRequest read, ChangeBeside change,
                                                     TimePoint deadline) {
  Backoff backoff(store.random(), first_pause, longest_pause);
  for (;;) {
    Result<ReadReply> beside = co_await store.read(read, deadline);
    if (!beside) co_return tl::unexpected(beside.error());
    Result<MembersTable> before = co_await read_members_table(store, deadline);
    if (!before) co_return tl::unexpected(before.error());
    MembersTable after = *before;
    Result<TransactionPart> part = change(after, *beside);
    if (!part) co_return tl::unexpected(part.error());
    set_in_order(after);
    // The table's part first: a transaction's first part is resolved with its commit, so that no reader of the table
    // meets a lock afterwards.
    std::vector<TransactionPart> parts;
    if (after != *before) {
      after.version = before->version + 1;
      MembersChange rows = change_table(*before, after);
      parts.push_back({.conditions = std::move(rows.conditions), .locks = {}, .mutations = std::move(rows.mutations)});
    }
    if (!part->mutations.empty()) parts.push_back(std::move(*part));
    if (parts.empty()) co_return after;
    Result<bool> committed = co_await commit_parts(store, std::move(parts), deadline);
    if (!committed) co_return tl::unexpected(committed.error());
    if (*committed) co_return after;
    // Also when an older transaction holds a row: one whose coordinator died does so for a while.
    const Duration pause = backoff.next();
    if (store.clock().now + pause >= deadline) co_return lost_every_time();
    co_await store.sleep(pause);
  }
}

}  // namespace ringfs::dht

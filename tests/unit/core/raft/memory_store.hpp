// One node's disk for the tests of the protocol: everything that Effects write, kept in ordered maps.
// A gap in a log, a compaction above the applied index or a snapshot chunk out of order fails the test.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <optional>
#include <ranges>
#include <set>
#include <vector>

#include "dht/core/members/initial_groups.hpp"
#include "dht/core/protocol/persisted_state.hpp"
#include "dht/core/rows/evaluate.hpp"
#include "tests/support/memory_rows.hpp"
#include "tests/support/persisted_group.hpp"

namespace ringfs::dht::test {

struct StoredGroup : GroupRecord {
  std::map<LogIndex, Entry> log;
  MemoryRows rows;
  std::uint64_t staging = 0;
  std::vector<StageChunk> staged;

  LogIndex last_index() const { return log.empty() ? base_index : log.rbegin()->first; }
  Term term_of(LogIndex index) const { return index == base_index ? base_term : log.at(index).term; }
};

class MemoryStore {
 public:
  Uuid id;
  std::uint64_t starts = 0;
  std::optional<Genesis> genesis;
  std::optional<MembersTable> table;
  std::map<Uuid, Incarnation> peers;
  std::map<PartitionId, StoredGroup> groups;
  std::size_t rows_per_chunk = 2;
  std::set<PartitionId> unreadable_rows;     // until a reset or an installed snapshot replaces them
  std::set<PartitionId> unreadable_entries;  // likewise

  // What a process finds when it starts; raises the incarnation.
  PersistedNode start(std::uint64_t nonce) {
    open_snapshots_.clear();
    PersistedNode node;
    node.id = id;
    node.incarnation = {++starts, nonce};
    node.genesis = genesis;
    node.table = table;
    node.peer_incarnations.assign(peers.begin(), peers.end());
    for (auto& [partition, stored] : groups)
      node.groups.push_back(persisted_group(partition, id, stored, std::views::values(stored.log)));
    return node;
  }

  void write(const Write& write) {
    if (write.node.genesis) {
      genesis = write.node.genesis;
      for (const InitialGroup& initial : initial_groups(*genesis, id)) {
        StoredGroup& group = groups[initial.partition];
        group.replica = {id, 0};
        group.configuration = initial.configuration;
        for (const InitialRow& row : initial.rows) group.rows.put(row.row, row.value, 0);
      }
    }
    if (write.node.table) table = write.node.table;
    for (const auto& [peer, incarnation] : write.node.peer_incarnations) peers[peer] = incarnation;
    for (const GroupWrite& one : write.groups) write_group(one);
  }

  std::vector<AppliedBatch> apply(const Apply& apply) {
    StoredGroup& group = groups.at(apply.partition);
    std::vector<AppliedBatch> results;
    while (group.applied < apply.through) {
      const Entry& entry = group.log.at(group.applied + 1);
      EXPECT_TRUE(group.apply(entry));
      if (entry.kind != EntryKind::batch) continue;
      Result<Batch> batch = decode_batch(entry.head, entry.blobs);
      BatchResult result;
      result.outcome = BatchResult::Outcome::invalid;
      if (batch) result = evaluate(*batch, entry.stamp, entry.index, group.rows);
      results.push_back({entry.index, result});
    }
    return results;
  }

  Result<ReadAnswer> read(const ReadEffect& read) {
    if (unreadable_rows.contains(read.partition)) return fail(ErrorCode::corrupt, "a damaged row");
    Result<ReadReply> reply = execute_read(read.request, groups.at(read.partition).rows);
    if (!reply) return tl::unexpected(reply.error());
    return ReadAnswer(read.request, *reply);
  }

  Result<std::vector<Entry>> load(const LoadEntries& load) {
    if (unreadable_entries.contains(load.partition)) return fail(ErrorCode::corrupt, "a damaged entry");
    std::vector<Entry> entries;
    std::size_t bytes = 0;
    const StoredGroup& group = groups.at(load.partition);
    for (LogIndex index = load.first; index <= load.last; ++index) {
      auto entry = group.log.find(index);
      if (entry == group.log.end()) break;
      bytes += entry->second.bytes();
      if (!entries.empty() && bytes > load.max_bytes) break;
      entries.push_back(entry->second);
    }
    if (entries.empty()) return fail(ErrorCode::corrupt, "no such entry");
    return entries;
  }

  Result<SnapshotData> snapshot_read(const SnapshotRead& read) {
    if (read.close) {
      open_snapshots_.erase(read.snapshot);
      return SnapshotData{};
    }
    if (unreadable_rows.contains(read.partition)) return fail(ErrorCode::corrupt, "a damaged row");
    if (read.number == 0) open_snapshots_[read.snapshot] = groups.at(read.partition);
    auto open = open_snapshots_.find(read.snapshot);
    if (open == open_snapshots_.end()) return fail(ErrorCode::timeout, "closed");
    const StoredGroup& group = open->second;
    SnapshotData data;
    data.last_index = group.applied;
    data.last_term = group.term_of(group.applied);
    data.configuration = group.configuration;
    data.configuration_index = group.configuration_index;
    Writer writer;
    std::size_t number = 0;
    std::size_t first = read.number * rows_per_chunk;
    for (const auto& [address, row] : group.rows.all()) {
      if (number >= first && number < first + rows_per_chunk) {
        writer.string(address.key);
        writer.string(address.sort);
        writer.u64(row.version);
        writer.string(row.value.view());
      }
      ++number;
    }
    data.rows = writer.take();
    data.last = number <= first + rows_per_chunk;
    if (data.last) open_snapshots_.erase(open);
    return data;
  }

  std::size_t open_snapshots() const { return open_snapshots_.size(); }

 private:
  void write_group(const GroupWrite& one) {
    if (one.reset) reset(groups[one.partition], *one.reset);
    if (one.reset || one.install) {
      unreadable_rows.erase(one.partition);
      unreadable_entries.erase(one.partition);
    }
    StoredGroup& group = groups.at(one.partition);
    if (one.damage) group.damage = *one.damage;
    if (one.unstage) group.staged.clear();
    if (one.stage) {
      if (one.stage->number == 0) group.staged.clear();
      ASSERT_EQ(one.stage->number, group.staged.size());
      group.staging = one.stage->snapshot;
      group.staged.push_back(*one.stage);
    }
    if (one.install) install(group, *one.install);
    if (one.hard_state) {
      ASSERT_GE(one.hard_state->term, group.hard_state.term);
      group.hard_state = *one.hard_state;
    }
    if (one.truncate_from) {
      ASSERT_GT(*one.truncate_from, group.applied);
      group.log.erase(group.log.lower_bound(*one.truncate_from), group.log.end());
    }
    for (const Entry& entry : one.append) {
      ASSERT_EQ(entry.index, group.last_index() + 1);
      group.log[entry.index] = entry;
    }
    if (one.compact_through) {
      ASSERT_LE(*one.compact_through, group.applied);
      if (*one.compact_through > group.base_index) group.compact_through(group.log.at(*one.compact_through));
      group.log.erase(group.log.begin(), group.log.upper_bound(*one.compact_through));
    }
  }

  void reset(StoredGroup& group, const ReplicaReset& reset) {
    StoredGroup fresh;
    static_cast<GroupRecord&>(fresh) = group;
    fresh.reset(reset);
    fresh.replica.node = id;
    group = std::move(fresh);
  }

  static void install(StoredGroup& group, const InstallSnapshot& install) {
    ASSERT_EQ(group.staging, install.snapshot);
    group.rows = MemoryRows();
    for (const StageChunk& chunk : group.staged) {
      Reader reader(chunk.rows.view());
      while (reader.ok() && !reader.rest().empty()) {
        std::string key(reader.string());
        std::string sort(reader.string());
        std::uint64_t version = reader.u64();
        group.rows.put({key, sort}, std::string(reader.string()), version);
      }
      ASSERT_TRUE(reader.ok());
    }
    group.staged.clear();
    group.log.clear();
    group.install(install);
  }

  std::map<std::uint64_t, StoredGroup> open_snapshots_;
};

}  // namespace ringfs::dht::test

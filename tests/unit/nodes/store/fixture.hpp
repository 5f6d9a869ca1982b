// What the tests of the store share: a scratch directory, a store that can be closed and opened again, calls that wait
// for their answer, and batches. Threads: the test's; `done` functions fulfil promises.
#pragma once

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <future>

#include "nodes/store/files/payload_file.hpp"
#include "nodes/store/files/sqlite_handle.hpp"
#include "nodes/store/rows/groups.hpp"
#include "nodes/store/sqlite_store.hpp"
#include "tests/support/mutations.hpp"
#include "tests/support/scratch_directory.hpp"

namespace ringfs::nodes {

inline constexpr PartitionId first_partition{3};
inline constexpr PartitionId second_partition{7};
inline constexpr Stamp test_stamp{1'700'000'000'000'000};

inline Status wait_write(dht::Storage& store, dht::Write write) {
  std::promise<Status> promise;
  store.write(std::move(write), [&](Status status) { promise.set_value(std::move(status)); });
  return promise.get_future().get();
}

inline Result<std::vector<dht::AppliedBatch>> wait_apply(dht::Storage& store, PartitionId partition,
                                                         dht::LogIndex through) {
  std::promise<Result<std::vector<dht::AppliedBatch>>> promise;
  store.apply({partition, through}, [&](auto result) { promise.set_value(std::move(result)); });
  return promise.get_future().get();
}

inline Result<ReadReply> wait_read(dht::Storage& store, PartitionId partition, ReadRequest request) {
  std::promise<Result<dht::ReadAnswer>> promise;
  store.read({1, partition, std::move(request)}, [&](auto answer) { promise.set_value(std::move(answer)); });
  Result<dht::ReadAnswer> answer = promise.get_future().get();
  if (!answer) return tl::unexpected<Error>(answer.error());
  return decode_read_reply(answer->head, answer->blobs);
}

inline Result<std::vector<dht::Entry>> wait_load(dht::Storage& store, PartitionId partition, dht::LogIndex first,
                                                 dht::LogIndex last, std::size_t max_bytes = 1 << 20) {
  std::promise<Result<std::vector<dht::Entry>>> promise;
  store.load({1, partition, first, last, max_bytes}, [&](auto entries) { promise.set_value(std::move(entries)); });
  return promise.get_future().get();
}

inline Result<dht::SnapshotData> wait_snapshot(dht::Storage& store, PartitionId partition, std::uint64_t snapshot,
                                               std::uint32_t number) {
  std::promise<Result<dht::SnapshotData>> promise;
  store.snapshot_read({1, partition, snapshot, number, false}, [&](auto data) { promise.set_value(std::move(data)); });
  return promise.get_future().get();
}

// The value of a row; none: there is no such row.
inline std::optional<std::string> value_of(dht::Storage& store, PartitionId partition, const std::string& key,
                                           const std::string& sort) {
  ReadRequest request;
  request.gets.push_back({key, sort});
  Result<ReadReply> reply = wait_read(store, partition, std::move(request));
  EXPECT_TRUE(reply) << (reply ? "" : reply.error().text());
  if (!reply || !reply->gets.at(0).found) return std::nullopt;
  return reply->gets[0].row.value.str();
}

inline Mutation mutation(Mutation::Kind kind, std::string key, std::string sort, std::string value = {},
                         std::uint32_t offset = 0) {
  Mutation made;
  made.kind = kind;
  made.row = {std::move(key), std::move(sort)};
  made.value = SharedBytes(std::move(value));
  made.offset = offset;
  return made;
}

inline dht::Entry batch_entry(dht::LogIndex index, std::vector<Mutation> mutations, dht::Term term = 1) {
  Batch batch;
  batch.client.bytes[0] = 1;
  batch.sequence = index;
  batch.first_incomplete = index;  // a client that has all its answers, so little is remembered of it
  batch.expires = test_stamp + std::chrono::seconds(30);
  batch.mutations = std::move(mutations);
  EncodedBatch encoded = encode(batch);
  return dht::Entry{
      index,        term,         test_stamp + Duration(static_cast<std::int64_t>(index)), dht::EntryKind::batch,
      encoded.head, encoded.blobs};
}

inline dht::Entry no_op(dht::LogIndex index, dht::Term term = 1) {
  return dht::Entry{index, term, test_stamp + Duration(static_cast<std::int64_t>(index)), dht::EntryKind::no_op,
                    {},    {}};
}

// A write of one group, in which the caller sets what changes.
inline dht::Write group_write(PartitionId partition) {
  dht::Write write;
  write.id = 1;
  write.groups.resize(1);
  write.groups[0].partition = partition;
  return write;
}

inline dht::Write append_write(PartitionId partition, std::vector<dht::Entry> entries) {
  dht::Write write = group_write(partition);
  write.groups[0].append = std::move(entries);
  return write;
}

inline dht::Write compact_write(PartitionId partition, dht::LogIndex through) {
  dht::Write write = group_write(partition);
  write.groups[0].compact_through = through;
  return write;
}

inline dht::Write hard_state_write(PartitionId partition, dht::HardState hard_state) {
  dht::Write write = group_write(partition);
  write.groups[0].hard_state = hard_state;
  return write;
}

// Starts another life of the replica, without rows and log.
inline dht::Write reset_write(PartitionId partition, dht::LogIndex added) {
  dht::Write write = group_write(partition);
  write.groups[0].reset = dht::ReplicaReset{added, {}, 0};
  return write;
}

inline dht::Write damage_write(PartitionId partition, dht::Damage damage) {
  dht::Write write = group_write(partition);
  write.groups[0].damage = damage;
  return write;
}

inline dht::Write stage_write(PartitionId partition, dht::StageChunk chunk) {
  dht::Write write = group_write(partition);
  write.groups[0].stage = std::move(chunk);
  return write;
}

// `last`: the last chunk of the snapshot.
inline dht::Write install_write(PartitionId partition, std::uint64_t snapshot, const dht::SnapshotData& last) {
  dht::Write write = group_write(partition);
  write.groups[0].install = dht::InstallSnapshot{snapshot,        last.last_index,    last.last_term,
                                                 last.last_stamp, last.configuration, last.configuration_index};
  return write;
}

// A ring of one node.
inline dht::Genesis genesis_of_one(const Uuid& node, unsigned partition_bits) {
  dht::Genesis genesis;
  genesis.ring.bytes[3] = 9;
  genesis.partition_bits = partition_bits;
  genesis.first_table.version = 1;
  dht::Member member;
  member.id = node;
  member.address = "127.0.0.1:1";
  for (std::uint32_t i = 0; i < 1U << partition_bits; ++i)
    member.tokens.push_back(anchor_of(PartitionId{i}, partition_bits));
  genesis.first_table.members.push_back(member);
  return genesis;
}

inline std::string pattern(std::size_t size, char first) {
  std::string bytes(size, '\0');
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>(first + static_cast<char>(i % 61));
  return bytes;
}

// Runs `work` in a process of its own, which `work` ends with _exit(). What is open then is left as by a killed
// process. Gives the exit code; -1: the process could not be started, or did not exit.
inline int exit_code_of(const std::function<void()>& work) {
  const pid_t child = fork();
  if (child == 0) {
    work();
    _exit(255);
  }
  int status = 0;
  if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status)) return -1;
  return WEXITSTATUS(status);
}

class StoreTest : public testing::Test {
 protected:
  StoreTest() {
    options.payload_file_bytes = 0;  // also the few payloads of these tests go into the file
  }

  void open() {
    Result<SqliteStore::Opened> opened = SqliteStore::open(directory, random, options);
    ASSERT_TRUE(opened) << opened.error().text();
    store = std::move(opened->store);
    node = std::move(opened->node);
    damaged = std::move(opened->damaged);
  }
  void reopen() {
    store.reset();
    open();
  }
  Error open_error() {
    Result<SqliteStore::Opened> opened = SqliteStore::open(directory, random, options);
    EXPECT_FALSE(opened);
    return opened ? Error{} : opened.error();
  }
  // Appends the entries, and applies up to the last one.
  void run(PartitionId partition, std::vector<dht::Entry> entries) {
    dht::LogIndex last = entries.back().index;
    Status written = wait_write(*store, append_write(partition, std::move(entries)));
    ASSERT_TRUE(written) << written.error().text();
    auto applied = wait_apply(*store, partition, last);
    ASSERT_TRUE(applied) << applied.error().text();
    for (const dht::AppliedBatch& batch : *applied) ASSERT_EQ(batch.result.outcome, BatchResult::Outcome::applied);
  }
  // A number from the database, by a connection of its own.
  std::int64_t number(const std::string& sql) {
    Connection connection(directory / "ringfs.db", SQLITE_OPEN_READWRITE);
    return connection.integer(sql.c_str());
  }
  void change(const std::string& sql) {
    Connection connection(directory / "ringfs.db", SQLITE_OPEN_READWRITE);
    connection.execute(sql);
  }

  // Removes the digests, which format 5 does not have.
  void drop_digests() {
    Connection connection(directory / "ringfs.db", SQLITE_OPEN_READWRITE);
    std::map<PartitionId, Error> unreadable;
    const std::map<PartitionId, GroupState> groups = GroupTable(connection).load_all(unreadable);
    EXPECT_TRUE(unreadable.empty());
    for (const auto& [partition, group] : groups) {
      const auto sum = static_cast<std::int64_t>(group_checksum(group, encode(group.configuration), false));
      connection.execute("UPDATE grp SET checksum = " + std::to_string(sum) +
                         " WHERE p = " + std::to_string(index_of(partition)));
    }
    for (const char* column : {"rows_digest", "staging_digest", "log_digest", "log_end"}) {
      connection.execute("ALTER TABLE grp DROP COLUMN " + std::string(column));
    }
  }

  // The bytes of each payload are where its id says, and there are no others.
  void expect_payloads_in_place() {
    const std::string first = std::to_string(PayloadFile::first_id);
    EXPECT_EQ(number("SELECT count(*) FROM payload WHERE refs < 1"), 0);
    EXPECT_EQ(number("SELECT count(*) FROM payload p LEFT JOIN payload_data d USING(id) WHERE p.id < " + first +
                     " AND length(d.bytes) IS NOT p.size"),
              0);
    EXPECT_EQ(number("SELECT count(*) FROM payload_data WHERE id NOT IN (SELECT id FROM payload)"), 0);
    EXPECT_EQ(number("SELECT count(*) FROM payload_data WHERE id >= " + first), 0);
    const std::int64_t end = number("SELECT coalesce(max(((id - " + first + ") >> 12) + ((id - " + first +
                                    ") & 4095)), 0) FROM payload WHERE id >= " + first);
    EXPECT_GE(static_cast<std::int64_t>(std::filesystem::file_size(directory / payload_file_name)), 4096 * end);
  }

  const ScratchDirectory scratch{"store"};
  std::filesystem::path directory = scratch / "data";
  SeededRandom random{42};
  SqliteStoreOptions options;
  std::unique_ptr<SqliteStore> store;
  dht::PersistedNode node;
  std::map<PartitionId, Error> damaged;  // as the last open() found it
};

}  // namespace ringfs::nodes

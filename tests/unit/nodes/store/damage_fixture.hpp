// What the tests of damaged files share: a node with rows, logs and payloads of several partitions, some of them only
// in its WAL; and everything that can be read from its files, as text.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>

#include "dht/base/hash.hpp"
#include "dht/base/read_file.hpp"
#include "nodes/store/files/identity.hpp"
#include "nodes/store/files/sqlite_schema.hpp"
#include "nodes/store/files/sqlite_wal_vfs.hpp"
#include "nodes/store/files/wal_frames.hpp"
#include "nodes/store/rows/groups.hpp"
#include "tests/unit/nodes/store/fixture.hpp"
#include "tests/unit/nodes/store/lost_writes.hpp"

namespace ringfs::nodes {

// A big-endian number of four bytes in a file, as SQLite writes numbers.
inline std::uint32_t number_in(const std::filesystem::path& file, std::uint64_t place) {
  std::ifstream stream(file, std::ios::binary);
  stream.seekg(static_cast<std::streamoff>(place));
  std::uint32_t number = 0;
  for (int i = 0; i < 4; ++i) number = number << 8 | static_cast<std::uint32_t>(stream.get());
  return number;
}

class DamageTest : public StoreTest {
 protected:
  static constexpr unsigned partitions = 8;
  static constexpr dht::LogIndex entries = 6;
  static constexpr unsigned names = 40;

  std::filesystem::path database() const { return directory / database_file_name; }

  static std::string key_of(unsigned p) { return "directory-" + std::to_string(p); }
  static std::string name_of(unsigned i) { return "file-name-" + std::to_string(i); }

  dht::Write genesis_write() {
    dht::Write write;
    write.id = 1;
    write.node.genesis = genesis_of_one(node.id, 3);
    write.node.table = write.node.genesis->first_table;
    return write;
  }

  dht::Entry entry_of(unsigned p, dht::LogIndex index) {
    std::vector<Mutation> mutations;
    for (unsigned i = 0; i < names; ++i) {
      if (i % entries == index % entries) mutations.push_back(put(key_of(p), name_of(i), pattern(90 + 7 * i, 'a')));
    }
    if (index == 2) mutations.push_back(put(key_of(p), "long", std::string(6000, 'l')));  // overflow pages
    // overflow pages of a key
    if (index == 3) mutations.push_back(put(std::string(1500, 'k') + key_of(p), "s", "long key"));
    if (index == 4) mutations.push_back(put(key_of(p), "payload", pattern(17000, 'p')));
    return batch_entry(index, std::move(mutations));
  }

  void write_partition(unsigned p, dht::LogIndex first, dht::LogIndex last) {
    std::vector<dht::Entry> added;
    for (dht::LogIndex index = first; index <= last; ++index) added.push_back(entry_of(p, index));
    dht::Write write = append_write(PartitionId{p}, std::move(added));
    write.groups[0].hard_state = dht::HardState{3, node.id};
    ASSERT_TRUE(wait_write(*store, std::move(write)));
    auto applied = wait_apply(*store, PartitionId{p}, last);
    ASSERT_TRUE(applied) << applied.error().text();
    for (const dht::AppliedBatch& batch : *applied)
      ASSERT_EQ(batch.result.outcome, BatchResult::Outcome::applied) << batch.index;
  }

  // A node that has most of its data in the database, and the rest in a synced WAL that a killed process left.
  void make_node(bool with_wal = true) {
    options.payload_file_bytes = 0;
    open();
    ASSERT_TRUE(wait_write(*store, genesis_write()));
    for (unsigned p = 0; p < partitions; ++p) write_partition(p, 1, 4);
    // Free pages, by an erasure.
    run(PartitionId{0},
        {batch_entry(5, {put("gone", "a", std::string(15000, 'g')), put("gone", "b", std::string(15000, 'h'))}),
         batch_entry(6, {mutation(Mutation::Kind::erase_prefix, "gone", "")})});
    options.payload_file_bytes = 1 << 20;  // from here on payloads go into the database
    reopen();
    run(PartitionId{1}, {batch_entry(5, {put(key_of(1), "small payload", pattern(16500, 'q'))})});
    store.reset();
    if (!with_wal) return;
    const int code = exit_code_of([this] {
      open();
      if (!store) _exit(1);
      for (unsigned p = 2; p < partitions; ++p) write_partition(p, 5, entries);
      _exit(wait_write(*store, append_write(PartitionId{7}, {no_op(entries + 1)})) && !HasFailure() ? 0 : 2);
    });
    ASSERT_EQ(code, 0);
    ASSERT_GT(std::filesystem::file_size(wal_of(database())), 100'000u);
  }

  // Keeps a copy of the node's files, and restores them. The store must be closed for the first; the second one closes
  // it.
  void keep_files() { std::filesystem::copy(directory, scratch / "kept", std::filesystem::copy_options::recursive); }
  void restore_files() {
    store.reset();
    std::filesystem::remove_all(directory);
    std::filesystem::copy(scratch / "kept", directory, std::filesystem::copy_options::recursive);
  }

  Result<ReadReply> read_name(unsigned p, const std::string& sort) {
    ReadRequest request;
    request.gets.push_back({key_of(p), sort});
    return wait_read(*store, PartitionId{p}, std::move(request));
  }

  // Everything in the files, read as the store reads it. Throws StoreFailure.
  static std::string everything(const std::filesystem::path& directory) {
    std::string said;
    std::unique_ptr<Connection> connection = open_reader(directory, 2048);
    if (sqlite3_db_config(connection->raw(), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr) != SQLITE_OK) std::abort();
    SqlTransaction transaction(*connection, "BEGIN");
    PayloadFile file(directory, *connection);
    PayloadTable payloads(*connection, file);
    RowTable rows(*connection, payloads);
    LogTable log(*connection, payloads);
    GroupTable groups(*connection);
    MetaTable meta(*connection);
    for (const char* name : {"id", "incarnation", "genesis", "table", "next_space", "absent"})
      said += meta.get(name).value_or("-") + "\n";
    std::map<PartitionId, Error> unreadable;
    const std::map<PartitionId, GroupState> all = groups.load_all(unreadable);
    if (!unreadable.empty()) throw StoreFailure(ErrorCode::corrupt, unreadable.begin()->second.context);
    for (const auto& [partition, group] : all) {
      said += std::to_string(index_of(partition)) + " " + std::to_string(group.hard_state.term) + " " +
              std::to_string(group.applied.index) + " " + std::to_string(group.last_index) + "\n";
      log.load(partition, 0, INT64_MAX, [&](StoredEntry&& stored) {
        said += std::to_string(stored.entry.index) + stored.entry.head.str();
        for (const SharedBytes& blob : stored.entry.blobs) said += std::to_string(checksum(blob.view()));
        return true;
      });
      said += std::to_string(log.infos(partition).size());
      rows.select(group.space);
      const std::string key = key_of(index_of(partition));
      for (unsigned i = 0; i < names + 3; ++i) {
        std::optional<Row> row = rows.get({key, name_of(i)});
        said += row ? row->value.str() : "absent";
      }
      for (const std::string& scanned : {key, std::string(1500, 'k') + key, std::string("gone"), std::string()}) {
        rows.scan(scanned, "", "", true, [&](Row&& row) {
          said += row.sort + "=" + std::to_string(checksum(row.value.view()));
          return true;
        });
      }
    }
    for (const char* table : {"peer", "garbage"}) {
      said += std::to_string(connection->integer((std::string("SELECT count(*) FROM ") + table).c_str()));
    }
    return said;
  }

  // The number of replicas whose log is lost.
  static std::size_t lost_logs(const dht::PersistedNode& node) {
    return static_cast<std::size_t>(
        std::count_if(node.groups.begin(), node.groups.end(),
                      [](const dht::PersistedGroup& one) { return one.damage == dht::Damage::log; }));
  }
  static const dht::PersistedGroup& group_in(const dht::PersistedNode& node, PartitionId partition) {
    auto found = std::find_if(node.groups.begin(), node.groups.end(),
                              [&](const dht::PersistedGroup& one) { return one.partition == partition; });
    if (found == node.groups.end()) std::abort();
    return *found;
  }

  static std::string contents(const std::filesystem::path& file) { return read_file(file).value(); }
  static void overwrite(const std::filesystem::path& file, std::size_t place, std::string_view bytes) {
    ASSERT_TRUE(write_at(file, place, bytes));
  }
  static void flip_bit(const std::filesystem::path& file, std::size_t place, unsigned bit) {
    const char byte = contents(file).at(place);
    overwrite(file, place, std::string(1, static_cast<char>(static_cast<unsigned char>(byte) ^ (1U << bit))));
  }
  // The last place of these bytes in a file.
  static std::size_t place_of(const std::filesystem::path& file, const std::string& bytes) {
    const std::size_t place = contents(file).rfind(bytes);
    EXPECT_NE(place, std::string::npos);
    return place;
  }
};

}  // namespace ringfs::nodes

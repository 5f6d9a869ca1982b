// Nodes with real databases and sockets join and leave: rows, payloads and logs arrive, and what was removed is gone
// from the disk.
#include <boost/asio/io_context.hpp>

#include "dht/core/members/change.hpp"
#include "dht/core/members/placement.hpp"
#include "dht/net/client/ring_creation.hpp"
#include "dht/net/runtime/driver.hpp"
#include "dht/net/runtime/server.hpp"
#include "dht/net/transport/system_clock.hpp"
#include "tests/support/scratch_directory.hpp"
#include "tests/unit/net/transport/loopback.hpp"
#include "tests/unit/nodes/store/fixture.hpp"
#include "tests/unit/nodes/store/lost_writes.hpp"

namespace ringfs::nodes {
namespace {

constexpr unsigned bits = 3;
constexpr Duration limit = std::chrono::seconds(60);  // only for a test that fails

class RingMoves : public testing::Test {
 protected:
  struct Process {
    std::filesystem::path directory;
    SeededRandom random{1};
    std::unique_ptr<SqliteStore> store;
    std::unique_ptr<dht::Driver> driver;
    std::unique_ptr<dht::Server> server;
    Uuid id;
    std::string address;
    std::optional<Error> fatal;
  };

  ~RingMoves() override {
    for (auto& process : processes) stop(*process);
  }

  // A ring of three nodes.
  dht::Genesis make_ring() {
    std::vector<dht::FirstNode> first;
    std::vector<Uuid> ids;
    for (std::uint64_t number : {1U, 2U, 3U}) {
      Process& process = start(number);
      first.push_back({process.address, ""});
      ids.push_back(process.id);
    }
    dht::CreationOptions creation;
    creation.partition_bits = bits;
    Result<dht::Genesis> genesis = dht::make_genesis(first, ids, creation, random);
    EXPECT_TRUE(genesis);
    if (!genesis) return {};
    for (auto& process : processes) EXPECT_TRUE(ask(*process, dht::CreateOperation{*genesis}));
    return *genesis;
  }
  Process& start(std::uint64_t number) {
    processes.push_back(std::make_unique<Process>());
    Process& process = *processes.back();
    process.directory = scratch_ / std::to_string(number);
    process.random = SeededRandom(number);
    run(process, "127.0.0.1:0");
    return process;
  }
  void run(Process& process, const std::string& at) {
    SqliteStoreOptions options;
    options.reserve_bytes = 0;
    options.snapshot_chunk_bytes = 64 << 10;
    options.synchronous_off = true;
    options.scrub.delay = Duration(0);
    Result<SqliteStore::Opened> opened = SqliteStore::open(process.directory, process.random, options);
    ASSERT_TRUE(opened) << opened.error().text();
    process.store = std::move(opened->store);
    process.id = opened->node.id;
    Result<dht::Listener> listener = dht::listen_on(loop, at);
    ASSERT_TRUE(listener);
    process.address = listener->address;
    dht::DriverOptions driver;
    driver.node.address = process.address;
    driver.node.log_keep_entries = 16;
    process.driver =
        std::make_unique<dht::Driver>(loop, *process.store, std::move(opened->node), process.random, driver,
                                      [&process](Error error) { process.fatal = std::move(error); });
    process.server = std::make_unique<dht::Server>(loop, *process.driver, std::move(*listener), dht::ServerOptions{});
    process.driver->start();
    process.server->start();
  }
  void stop(Process& process) {
    process.server.reset();
    process.driver.reset();
    process.store.reset();
  }

  bool run_until(const std::function<bool()>& done) { return dht::run_until(loop, done, limit); }
  dht::OperationResult ask(Process& process, dht::Operation operation) {
    std::optional<dht::OperationResult> result;
    process.driver->submit(std::move(operation), [&](dht::OperationResult answer) { result = std::move(answer); });
    if (!run_until([&] { return result.has_value(); }))
      return tl::unexpected(dht::OperationFailure{{ErrorCode::timeout, {}}, {}});
    return *result;
  }
  // The node that leads.
  std::optional<dht::Answer> ask_leader(PartitionId partition, const dht::Operation& operation) {
    std::optional<dht::Answer> answer;
    run_until([&] {
      for (auto& process : processes) {
        if (!process->driver) continue;
        auto led = process->driver->node().led_partitions(dht::read_clock());
        if (std::find(led.begin(), led.end(), partition) == led.end()) continue;
        if (dht::OperationResult result = ask(*process, operation)) {
          answer = std::move(*result);
          return true;
        }
      }
      return false;
    });
    return answer;
  }
  bool commit(PartitionId partition, std::vector<Condition> conditions, std::vector<Mutation> mutations) {
    Batch batch;
    batch.client.bytes[0] = 9;
    batch.sequence = batch.first_incomplete = ++sequence;
    batch.expires = dht::wall_time() + std::chrono::seconds(30);
    batch.conditions = std::move(conditions);
    batch.mutations = std::move(mutations);
    auto answer = ask_leader(partition, dht::CommitOperation{partition, encode(batch)});
    return answer && std::get<BatchResult>(*answer).outcome == BatchResult::Outcome::applied;
  }
  bool write(const std::string& key, std::string value) {
    return commit(partition_of(key_position(key), bits), {}, {put(key, "v", std::move(value))});
  }
  std::string read(const std::string& key) {
    ReadRequest request;
    request.gets.push_back({key, "v"});
    PartitionId partition = partition_of(key_position(key), bits);
    auto answer = ask_leader(partition, dht::ReadOperation{partition, request, {}});
    if (!answer) return "no answer";
    const auto& encoded = std::get<dht::ReadAnswer>(*answer);
    Result<ReadReply> reply = decode_read_reply(encoded.head, encoded.blobs);
    return reply && reply->gets.at(0).found ? reply->gets[0].row.value.str() : "not found";
  }
  const dht::MembersTable& table() {
    const dht::MembersTable* newest = nullptr;
    for (auto& process : processes) {
      if (!process->driver) continue;
      const dht::MembersTable& one = process->driver->node().table();
      if (newest == nullptr || one.version > newest->version) newest = &one;
    }
    return *newest;
  }
  bool change(const std::function<std::vector<dht::Member>(const dht::MembersTable&)>& wanted) {
    return run_until([&] {
      dht::MembersChange rows = dht::change_members(table(), wanted(table()));
      return commit(partition_of(key_position(dht::members_key), bits), rows.conditions, rows.mutations);
    });
  }
  bool reaches(const Uuid& id, MemberState state) {
    return run_until([&] {
      const dht::Member* member = table().find(id);
      return member != nullptr && member->state == state;
    });
  }

  // The replica of this node; none: it has none.
  static std::optional<dht::GroupStatus> replica(Process& process, PartitionId partition) {
    for (const dht::GroupStatus& group : process.driver->status().groups) {
      if (group.partition == partition) return group;
    }
    return std::nullopt;
  }

  boost::asio::io_context loop;
  SeededRandom random{7};
  std::vector<std::unique_ptr<Process>> processes;
  std::uint64_t sequence = 0;
  const ScratchDirectory scratch_{"moves"};
};

TEST_F(RingMoves, NodeJoinsAndAnotherLeaves_EverythingIsThereAndTheLeaverIsEmpty) {
  const dht::Genesis genesis = make_ring();
  for (int i = 0; i < 60; ++i) ASSERT_TRUE(write("small " + std::to_string(i), std::to_string(i)));
  for (int i = 0; i < 12; ++i)
    ASSERT_TRUE(write("large " + std::to_string(i), pattern(65536, static_cast<char>('a' + i))));

  Process& added = start(4);
  ASSERT_TRUE(change([&](const dht::MembersTable& before) {
    dht::Member member;
    member.id = added.id;
    member.address = added.address;
    member.state = MemberState::joining;
    member.tokens = dht::allocate_tokens(before, added.id, bits);
    return std::vector<dht::Member>{member};
  }));
  ASSERT_TRUE(run_until([&] { return table().find(added.id) != nullptr; }));
  ASSERT_TRUE(ask(added, dht::JoinOperation{genesis, table()}));
  ASSERT_TRUE(reaches(added.id, MemberState::up));

  Process& leaver = *processes[0];
  ASSERT_TRUE(change([&](const dht::MembersTable& before) { return dht::leave_members(before, leaver.id, bits); }));
  ASSERT_TRUE(reaches(leaver.id, MemberState::removed));
  ASSERT_TRUE(run_until([&] { return leaver.driver->status().groups.empty(); }));
  stop(leaver);

  // The added node restarts from its disk, and it counts in the quorum.
  stop(added);
  run(added, added.address);
  for (int i = 0; i < 60; ++i) EXPECT_EQ(read("small " + std::to_string(i)), std::to_string(i));
  for (int i = 0; i < 12; ++i)
    EXPECT_EQ(read("large " + std::to_string(i)), pattern(65536, static_cast<char>('a' + i)));
  EXPECT_TRUE(write("small 0", "again"));
  for (auto& process : processes) EXPECT_FALSE(process->fatal) << process->fatal->text();

  Result<SqliteStore::Opened> disk = SqliteStore::open(leaver.directory, random, SqliteStoreOptions{});
  ASSERT_TRUE(disk);
  ASSERT_FALSE(disk->node.groups.empty());
  for (const dht::PersistedGroup& group : disk->node.groups) EXPECT_FALSE(group.holds_data);
}

// A page of one node's database is what it was before an acknowledged write. Only that node's scrub finds it.
TEST_F(RingMoves, RowsWhoseWriteOneDiskHasLost_AreReplacedByThemselves) {
  make_ring();
  const std::string key = "a row whose write is lost";
  const PartitionId partition = partition_of(key_position(key), bits);
  ASSERT_TRUE(write(key, "before"));
  Process& loser = *processes[1];
  const auto has_all = [&] {
    for (auto& process : processes) {
      const std::optional<dht::GroupStatus> mine = replica(*process, partition), its = replica(loser, partition);
      if (!mine || !its || mine->damaged || mine->applied != its->applied) return false;
    }
    return true;
  };
  const auto restart = [&](const std::function<void(const std::filesystem::path&)>& between) {
    stop(loser);
    between(loser.directory / database_file_name);
    run(loser, loser.address);
  };
  ASSERT_TRUE(run_until(has_all));
  std::string before;
  restart([&](const std::filesystem::path& database) { before = read_file(database).value(); });
  ASSERT_TRUE(write(key, "acknowledged"));
  ASSERT_TRUE(run_until(has_all));
  restart(
      [&](const std::filesystem::path& database) { EXPECT_EQ(lose_writes(database, before, "rows", "before"), 1u); });
  ASSERT_TRUE(run_until([&] { return has_all() && value_of(*loser.store, partition, key, "v") == "acknowledged"; }));
  EXPECT_GT(loser.store->status().damage_found, 0u);
  for (auto& process : processes) EXPECT_FALSE(process->fatal) << process->fatal->text();
  EXPECT_EQ(read(key), "acknowledged");
  stop(loser);
  Result<SqliteStore::Opened> disk = SqliteStore::open(loser.directory, random, SqliteStoreOptions{});
  ASSERT_TRUE(disk);
  EXPECT_TRUE(disk->damaged.empty());
  EXPECT_EQ(value_of(*disk->store, partition, key, "v"), "acknowledged");
}

}  // namespace
}  // namespace ringfs::nodes

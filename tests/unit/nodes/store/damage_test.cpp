// Damage in the files of a node: it is reported, costs no more than it must, and is repaired.
#include "nodes/store/repair/replacement.hpp"
#include "tests/unit/nodes/store/damage_fixture.hpp"

namespace ringfs::nodes {
namespace {

constexpr std::size_t page_bytes = 4096;

class StoreDamage : public DamageTest {
 protected:
  void expect_corrupt(const Result<ReadReply>& reply, unsigned p) {
    ASSERT_FALSE(reply);
    EXPECT_EQ(reply.error().code, ErrorCode::corrupt);
    EXPECT_NE(reply.error().context.find("partition " + std::to_string(p)), std::string::npos) << reply.error().context;
  }
  // Every partition without damage has all that was written.
  void expect_others_whole(dht::LogIndex last) {
    for (const dht::PersistedGroup& group : node.groups) {
      if (group.damage == dht::Damage::log) continue;
      const unsigned p = index_of(group.partition);
      if (group.base_index + group.log.size() < last) continue;  // not every partition has the last entries
      for (unsigned i = 0; i < names; ++i) {
        if (i % entries == 0 || i % entries > 4) continue;
        Result<ReadReply> reply = read_name(p, name_of(i));
        ASSERT_TRUE(reply) << reply.error().text();
        ASSERT_TRUE(reply->gets[0].found) << p << " " << i;
        EXPECT_EQ(reply->gets[0].row.value.str(), pattern(90 + 7 * i, 'a'));
      }
      auto loaded = wait_load(*store, group.partition, 1, last, 8 << 20);
      EXPECT_TRUE(loaded) << loaded.error().text();
    }
  }
  void spoil_page(std::size_t number) {
    overwrite(database(), (number - 1) * page_bytes + 100, "nothing that belongs here");
  }
};

// With flipped bits, a file once read as zeros, and another one was missing and created again.
TEST_F(StoreDamage, Key_WithAFlippedBit_IsDamageAndNotAbsence) {
  make_node(false);
  const std::size_t place =
      place_of(database(), key_of(3) + name_of(8)) + 3;  // the key of a row is directly before its sort key
  flip_bit(database(), place, 1);
  reopen();
  expect_corrupt(read_name(3, name_of(8)), 3);
}

TEST_F(StoreDamage, Name_WithAFlippedBit_IsDamageAndNotAbsence) {
  make_node(false);
  const std::size_t place = place_of(database(), key_of(3) + name_of(8)) + key_of(3).size() + 2;
  flip_bit(database(), place, 0);
  reopen();
  expect_corrupt(read_name(3, name_of(8)), 3);
  ReadRequest request;
  request.scans.push_back({key_of(3), "", "", 1000});
  expect_corrupt(wait_read(*store, PartitionId{3}, request), 3);
}

TEST_F(StoreDamage, Page_InAnothersPlace_IsDamage) {
  make_node(false);
  const std::vector<std::size_t> leaves = leaves_of(database(), "rows");
  ASSERT_GE(leaves.size(), 3u);
  const std::string all = contents(database());
  overwrite(database(), (leaves[1] - 1) * page_bytes,
            std::string_view(all).substr((leaves[2] - 1) * page_bytes, page_bytes));
  EXPECT_THROW(everything(directory), StoreFailure);
}

TEST_F(StoreDamage, Payload_InAnothersPlace_IsDamage) {
  make_node(false);
  // The payloads of all partitions are equal, so one is made different.
  const std::filesystem::path file = directory / payload_file_name;
  const std::string all = contents(file);
  ASSERT_GE(all.size(), 2 * 20480u);
  std::string other = all.substr(0, 20480);
  other[5] = 'x';
  overwrite(file, 0, other);
  reopen();
  unsigned noticed = 0;
  for (unsigned p = 0; p < partitions; ++p) {
    Result<ReadReply> reply = read_name(p, "payload");
    if (!reply && reply.error().code == ErrorCode::corrupt) ++noticed;
  }
  EXPECT_EQ(noticed, 1u);
}

TEST_F(StoreDamage, Leaf_OfRows_CostsItsPartitionsAndTheyStayDamagedUntilTheyAreReset) {
  make_node(false);
  spoil_page(leaves_of(database(), "rows").at(2));
  options.rebuild = true;
  reopen();
  ASSERT_FALSE(damaged.empty());
  EXPECT_LE(damaged.size(), 2u);
  EXPECT_EQ(node.groups.size(), partitions);
  EXPECT_EQ(lost_logs(node), damaged.size());
  const PartitionId partition = damaged.begin()->first;
  const dht::PersistedGroup& lost = group_in(node, partition);
  EXPECT_EQ(lost.damage, dht::Damage::log);
  EXPECT_EQ(lost.hard_state.term, 3u);
  EXPECT_EQ(lost.hard_state.vote, node.id);
  EXPECT_TRUE(lost.log.empty());
  expect_others_whole(4);
  const std::size_t before = damaged.size();
  options.rebuild = false;
  reopen();
  EXPECT_EQ(damaged.size(), before);
  ASSERT_TRUE(wait_write(*store, reset_write(partition, 9)));
  reopen();
  EXPECT_EQ(damaged.size(), before - 1);
  store.reset();
  EXPECT_EQ(number("PRAGMA user_version"), 6);
  expect_payloads_in_place();
}

TEST_F(StoreDamage, SharedPage_MetByAWrite_EndsAllWorkAndTheNextStartMendsIt) {
  make_node(false);
  spoil_page(leaves_of(database(), "log").back());
  // A start may not read the last leaf; an append writes to it.
  open();
  EXPECT_FALSE(damaged.empty());
  Status status = wait_write(*store, append_write(PartitionId{0}, {no_op(7)}));
  if (!status) {
    EXPECT_EQ(status.error().code, ErrorCode::corrupt);
    ASSERT_TRUE(store->status().failure);
    EXPECT_EQ(store->status().failure->code, ErrorCode::corrupt);
    options.rebuild = true;
    reopen();
    EXPECT_EQ(node.groups.size(), partitions);
  }
  expect_others_whole(4);
}

TEST_F(StoreDamage, Groups_OnADamagedPage_AreNotForgotten) {
  make_node(false);
  spoil_page(leaves_of(database(), "grp").at(0));
  reopen();
  EXPECT_EQ(damaged.size(), partitions);  // all rows of `grp` are on one page
  EXPECT_EQ(lost_logs(node), partitions);
  for (const dht::PersistedGroup& group : node.groups) {
    EXPECT_EQ(group.hard_state.term, 3u);  // from the second copy
    EXPECT_EQ(group.hard_state.vote, node.id);
  }
  EXPECT_TRUE(node.genesis);
  reopen();
  EXPECT_EQ(damaged.size(), partitions);
  EXPECT_EQ(lost_logs(node), partitions);
}

TEST_F(StoreDamage, Identity_OnADamagedPage_IsTakenFromItsSecondCopy) {
  make_node(false);
  const Uuid id = node.id;
  const std::uint64_t counter = node.incarnation.counter;
  for (std::size_t page : leaves_of(database(), "meta")) spoil_page(page);
  reopen();
  EXPECT_EQ(node.id, id);
  EXPECT_GT(node.incarnation.counter, counter);
  EXPECT_TRUE(node.genesis);
  EXPECT_TRUE(node.table);
  EXPECT_TRUE(damaged.empty());
  expect_others_whole(4);
}

TEST_F(StoreDamage, FreeList_Damaged_CostsNobody) {
  make_node(false);
  const std::string all = contents(database());
  std::size_t trunk = 0;
  for (std::size_t i = 32; i < 36; ++i) trunk = trunk << 8 | static_cast<unsigned char>(all[i]);
  ASSERT_GT(trunk, 1u);
  spoil_page(trunk);
  options.rebuild = true;
  reopen();
  EXPECT_TRUE(damaged.empty());
  EXPECT_EQ(node.groups.size(), partitions);
  expect_others_whole(4);
}

// The frames behind the damaged one have acknowledged votes and entries.
TEST_F(StoreDamage, Frame_DamagedBeforeTheMark_IsNeverAShorterLog) {
  make_node();
  const std::string wal = contents(wal_of(database()));
  const std::uint64_t frames = read_mark(database())->frames;
  keep_files();
  unsigned with_damage = 0;
  for (std::uint64_t frame = 0; frame < frames; frame += 5) {
    restore_files();
    overwrite(wal_of(database()), 32 + frame * (24 + page_bytes) + 24 + 600, "spoilt");
    reopen();
    EXPECT_EQ(node.groups.size(), partitions);
    with_damage += damaged.empty() ? 0 : 1;
    for (const dht::PersistedGroup& group : node.groups) {
      if (group.damage == dht::Damage::log) continue;
      const unsigned p = index_of(group.partition);
      const dht::LogIndex last = p == 0 ? 6 : p == 1 ? 5 : p == 7 ? 7 : 6;
      EXPECT_EQ(group.log.size(), last) << frame << " " << p;
      EXPECT_EQ(group.hard_state.term, 3u);
    }
    expect_others_whole(4);
  }
  EXPECT_GT(with_damage, 0u);
}

TEST_F(StoreDamage, Garbage_ThatNamesWhatIsNotThere_Goes) {
  make_node(false);
  reopen();
  store.reset();
  // The garbage names a payload that does not exist.
  change(
      "DELETE FROM payload WHERE id IN (SELECT payload FROM rows WHERE space = (SELECT space FROM grp WHERE p = 2))");
  change("DELETE FROM log WHERE p = 2");
  reopen();
  ASSERT_TRUE(wait_write(*store, reset_write(PartitionId{2}, 9)));
  for (dht::LogIndex index = 7; index < 300; ++index)
    run(PartitionId{0}, {batch_entry(index, {put(key_of(0), "x", "y")})});
  EXPECT_FALSE(store->status().failure);
  store.reset();
  EXPECT_EQ(number("SELECT count(*) FROM garbage"), 0);
  EXPECT_EQ(number("SELECT count(*) FROM meta WHERE name = 'rebuild'"), 0);
}

}  // namespace
}  // namespace ringfs::nodes

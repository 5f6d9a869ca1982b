// Which batches a full disk must still admit.
#include "dht/core/rows/room_need.hpp"

#include <gtest/gtest.h>

#include "dht/base/row_ages.hpp"
#include "dht/core/protocol/members_table.hpp"

namespace ringfs::dht {
namespace {

Mutation of(Mutation::Kind kind, std::string key, std::string sort, std::string value = {}) {
  Mutation mutation;
  mutation.kind = kind;
  mutation.row = {std::move(key), std::move(sort)};
  mutation.value = SharedBytes(std::move(value));
  return mutation;
}

Batch batch(std::vector<Mutation> mutations, std::vector<Condition> conditions = {}) {
  Batch batch;
  batch.mutations = std::move(mutations);
  batch.conditions = std::move(conditions);
  return batch;
}

Condition absent(std::string key, std::string sort) {
  Condition condition;
  condition.kind = Condition::Kind::absent;
  condition.row = {std::move(key), std::move(sort)};
  return condition;
}

using Kind = Mutation::Kind;

TEST(Room, RemovingAndMarking_NeedNone) {
  EXPECT_TRUE(needs_no_room(batch({of(Kind::erase, "d", "name")})));
  EXPECT_TRUE(needs_no_room(batch({of(Kind::erase_prefix, "c", "")})));
  EXPECT_TRUE(needs_no_room(batch({of(Kind::truncate, "c", "0")})));
  EXPECT_TRUE(needs_no_room(batch({of(Kind::resolve, "", "")})));
  EXPECT_TRUE(needs_no_room(batch({of(Kind::max_i64, "i", ""), of(Kind::write_bytes, "i", "", std::string(64, 'x'))})));
  // unlink: the name goes, the inode is marked, a small row says that it is an orphan
  EXPECT_TRUE(needs_no_room(batch({of(Kind::erase, "d", "name"), of(Kind::write_bytes, "i", "", "12345678"),
                                   of(Kind::put, "a", "O/1", std::string(40, 'x'))})));
}

TEST(Room, NewRowsAndContents_NeedSome) {
  EXPECT_FALSE(needs_no_room(batch({of(Kind::put, "i", "", std::string(100, 'x'))})));
  EXPECT_FALSE(needs_no_room(batch({of(Kind::put, "kv", "", "1")})));
  EXPECT_FALSE(needs_no_room(batch({of(Kind::write_bytes, "i", "", std::string(4096, 'x'))})));
  EXPECT_FALSE(
      needs_no_room(batch({of(Kind::write_bytes, "i", "", "x"), of(Kind::put, "i", "", std::string(100, 'x'))})));
  Mutation far = of(Kind::write_bytes, "c", "0", "x");
  far.offset = 1 << 19;
  EXPECT_FALSE(needs_no_room(batch({far})));
}

TEST(Room, ANameThatIsNew_NeedsSomeUnlessAnotherGoes) {
  const Mutation name = of(Kind::put, "d", "name", "inode");
  const Mutation links = of(Kind::add_i64, "i", "");
  EXPECT_FALSE(needs_no_room(batch({name, links}, {absent("d", "name")})));                                // link(2)
  EXPECT_TRUE(needs_no_room(batch({name, links, of(Kind::erase, "d", "other")}, {absent("d", "name")})));  // rename(2)
}

TEST(Room, PartsOfTransactions_CountLikeTheBatchesTheyBecome) {
  Mutation prepare = of(Kind::prepare, "", "");
  prepare.part = {of(Kind::erase, "d", "name"), of(Kind::add_i64, "i", "")};
  const Mutation record = of(Kind::put, record_key, "id", std::string(200, 'x'));
  EXPECT_TRUE(needs_no_room(batch({record, prepare}, {absent(record_key, "id")})));  // rmdir begins
  EXPECT_TRUE(needs_no_room(batch({record})));                                       // ... and ends
  prepare.part.push_back(of(Kind::put, "d", "new", std::string(100, 'x')));
  EXPECT_FALSE(needs_no_room(batch({record, prepare}, {absent(record_key, "id")})));
}

TEST(Room, TheMembersTable_MayAlwaysChange) {
  EXPECT_TRUE(needs_no_room(batch({of(Kind::put, std::string(members_key), "m", std::string(300, 'x'))},
                                  {absent(std::string(members_key), "m")})));
}

// Without the marks no row gets old, and nothing is removed.
TEST(Room, TheMarksOfAJanitorsClaims_MayAlwaysChange) {
  const Mutation claim = of(Kind::put, "anchor", std::string(marks_sort), std::string(max_marks_bytes, 'x'));
  EXPECT_TRUE(needs_no_room(batch({claim}, {absent("anchor", std::string(marks_sort))})));
  Condition version;
  version.kind = Condition::Kind::version_equals;
  version.row = claim.row;
  EXPECT_TRUE(needs_no_room(batch({claim}, {version})));
  EXPECT_FALSE(
      needs_no_room(batch({of(Kind::put, "anchor", std::string(marks_sort), std::string(max_marks_bytes + 1, 'x'))})));
  EXPECT_FALSE(needs_no_room(batch({claim, of(Kind::put, "i", "", std::string(100, 'x'))})));
}

TEST(Room, Entries_OnlyBatchesNeedAny) {
  Entry entry;
  entry.kind = EntryKind::no_op;
  EXPECT_TRUE(needs_no_room(entry));
  entry.kind = EntryKind::batch;
  const EncodedBatch put = encode(batch({of(Kind::put, "i", "", std::string(20000, 'x'))}));
  entry.head = put.head;
  entry.blobs = put.blobs;
  EXPECT_FALSE(needs_no_room(entry));
  entry.blobs.clear();  // does not decode: changes nothing
  EXPECT_TRUE(needs_no_room(entry));
}

}  // namespace
}  // namespace ringfs::dht

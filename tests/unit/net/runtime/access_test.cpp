// Which role an operation needs, row by row.
#include <gtest/gtest.h>

#include "dht/net/runtime/access.hpp"

namespace ringfs::dht {
namespace {

using enum AccessRole;

Operation read_of(const std::string& key) {
  ReadOperation operation;
  operation.request.gets.push_back({key, "a"});
  return operation;
}

Operation scan_of(const std::string& key) {
  ReadOperation operation;
  operation.request.scans.push_back({.key = key, .prefix = {}, .after = {}});
  return operation;
}

Operation commit_of(const Batch& batch) { return CommitOperation{.partition = {}, .batch = encode(batch)}; }

Mutation put(const std::string& key) {
  Mutation mutation;
  mutation.kind = Mutation::Kind::put;
  mutation.row = {key, "a"};
  mutation.value = "x";
  return mutation;
}

struct KeyCase {
  std::string key;
  AccessRole read;
  AccessRole change;
};

const std::vector<KeyCase>& keys() {
  static const std::vector<KeyCase> all{
      {"kv/a", reader, writer},
      {"ringo", reader, writer},
      {"", reader, writer},
      {"ring/members", reader, admin},
      {"ring/members/", admin, admin},
      {"ring/clients", admin, admin},
      {"ring/anything", admin, admin},
      {"ring/authority", node, node},
      {"ring/tokens", node, node},
      {record_key, writer, writer},
      {std::string("\0dedup", 6), node, node},
      {std::string("\0", 1), node, node},
      {record_key + "x", node, node},
  };
  return all;
}

TEST(Access, Reads_NeedWhatTheirRowsNeed) {
  for (const KeyCase& one : keys()) {
    EXPECT_EQ(required_role(read_of(one.key)), one.read) << one.key;
    EXPECT_EQ(required_role(scan_of(one.key)), one.read) << one.key;
  }
}

TEST(Access, Changes_NeedWhatTheirRowsNeedAndWriterAtLeast) {
  for (const KeyCase& one : keys()) {
    Batch batch;
    batch.mutations.push_back(put(one.key));
    EXPECT_EQ(required_role(commit_of(batch)), one.change) << one.key;
  }
  EXPECT_EQ(required_role(commit_of({})), writer);
}

TEST(Access, Conditions_NeedWhatReadingNeeds) {
  for (const KeyCase& one : keys()) {
    Batch batch;
    Condition condition;
    condition.kind = Condition::Kind::value_equals;
    condition.row = {one.key, "a"};
    batch.conditions.push_back(condition);
    batch.mutations.push_back(put("kv/a"));
    EXPECT_EQ(required_role(commit_of(batch)), std::max(one.read, writer)) << one.key;
  }
}

TEST(Access, PartsAndLocksOfTransactions_AreLookedThrough) {
  for (const KeyCase& one : keys()) {
    Mutation with_part;
    with_part.kind = Mutation::Kind::prepare;
    with_part.part.push_back(put(one.key));
    Batch parts;
    parts.mutations.push_back(with_part);
    EXPECT_EQ(required_role(commit_of(parts)), one.change) << one.key;
    Mutation with_lock;
    with_lock.kind = Mutation::Kind::prepare;
    with_lock.locks.push_back({one.key, "a"});
    Batch locks;
    locks.mutations.push_back(with_lock);
    EXPECT_EQ(required_role(commit_of(locks)), one.change) << one.key;
  }
  Mutation resolve;
  resolve.kind = Mutation::Kind::resolve;
  Batch batch;
  batch.mutations.push_back(resolve);
  EXPECT_EQ(required_role(commit_of(batch)), writer);
}

TEST(Access, Methods_NeedTheirRoles) {
  EXPECT_EQ(required_role(FindOperation{}), reader);
  EXPECT_EQ(required_role(TableOperation{}), reader);
  EXPECT_EQ(required_role(StatusOperation{}), reader);
  EXPECT_EQ(required_role(SettleOperation{}), reader);
  EXPECT_EQ(required_role(CreateOperation{}), node);
  EXPECT_EQ(required_role(JoinOperation{}), node);
}

TEST(Access, Refusal_NamesBothRoles) {
  Batch batch;
  batch.mutations.push_back(put("ring/members"));
  Status refused = check_access(writer, commit_of(batch));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::access_denied);
  EXPECT_EQ(refused.error().context, "this wants the role admin; yours is writer");
  EXPECT_TRUE(check_access(admin, commit_of(batch)));
  EXPECT_TRUE(check_access(node, commit_of(batch)));
}

}  // namespace
}  // namespace ringfs::dht

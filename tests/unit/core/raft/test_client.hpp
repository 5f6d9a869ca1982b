// What a client of a test's ring asks for. Each batch is a new one: nothing is tried again.
#pragma once

#include <string>
#include <vector>

#include "dht/core/protocol/operations.hpp"
#include "tests/support/mutations.hpp"

namespace ringfs::dht::test {

class TestClient {
 public:
  TestClient(const Clock& clock, unsigned partition_bits) : clock_(clock), partition_bits_(partition_bits) {}

  PartitionId partition_of_key(const std::string& key) const {
    return partition_of(key_position(key), partition_bits_);
  }

  CommitOperation put(const std::string& key, const std::string& value) {
    return commit(key, {ringfs::put(key, "v", value)});
  }
  CommitOperation erase(const std::string& key) {
    Mutation mutation;
    mutation.kind = Mutation::Kind::erase;
    mutation.row = {key, "v"};
    return commit(key, {mutation});
  }
  CommitOperation commit(const std::string& key, std::vector<Mutation> mutations) {
    return commit(key, {}, std::move(mutations));
  }
  CommitOperation commit(const std::string& key, std::vector<Condition> conditions, std::vector<Mutation> mutations) {
    Batch batch;
    batch.client.bytes[0] = 7;
    batch.sequence = ++last_sequence_;
    batch.first_incomplete = batch.sequence;
    batch.expires = clock_.stamp + std::chrono::seconds(30);
    batch.conditions = std::move(conditions);
    batch.mutations = std::move(mutations);
    return {partition_of_key(key), encode(batch)};
  }
  ReadOperation get(const std::string& key) const {
    ReadOperation operation;
    operation.partition = partition_of_key(key);
    operation.request.gets.push_back({key, "v"});
    return operation;
  }

 private:
  const Clock& clock_;
  const unsigned partition_bits_;
  std::uint64_t last_sequence_ = 0;
};

inline bool succeeded(const std::optional<OperationResult>& result) { return result && result->has_value(); }

inline std::optional<ErrorCode> error_of(const std::optional<OperationResult>& result) {
  if (!result || result->has_value()) return std::nullopt;
  return result->error().error.code;
}
inline std::string value_of(const std::optional<OperationResult>& result) {
  if (!succeeded(result)) return "<no answer>";
  const auto& answer = std::get<ReadAnswer>(**result);
  Result<ReadReply> reply = decode_read_reply(answer.head, answer.blobs);
  return reply && reply->gets.at(0).found ? reply->gets[0].row.value.str() : "<absent>";
}

}  // namespace ringfs::dht::test

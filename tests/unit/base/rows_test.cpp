// Encodings of batches and reads, and their limits.
#include "dht/base/rows.hpp"

#include <gtest/gtest.h>

#include "tests/support/mutations.hpp"

namespace ringfs {
namespace {

class Generator {
 public:
  explicit Generator(std::uint64_t seed) : random_(seed) {}

  std::string bytes(std::size_t most) {
    std::string result(random_.below(most + 1), '\0');
    for (char& byte : result) byte = static_cast<char>(random_.next());
    return result;
  }
  std::string key() { return "k" + bytes(12); }
  SharedBytes value() { return SharedBytes(random_.below(8) == 0 ? bytes(3 * payload_threshold) : bytes(40)); }
  RecordRef record() {
    return {static_cast<PartitionId>(random_.below(65536)), {random_.next(), random_uuid(random_)}};
  }

  Condition condition() {
    Condition condition;
    condition.kind = static_cast<Condition::Kind>(1 + random_.below(6));
    condition.row = {key(), bytes(10)};
    if (condition.kind == Condition::Kind::version_equals) condition.version = random_.next();
    if (condition.kind == Condition::Kind::value_equals) condition.value = value();
    if (condition.kind == Condition::Kind::bytes_equal) {
      condition.offset = static_cast<std::uint32_t>(random_.below(1000));
      condition.value = value();
    }
    return condition;
  }

  Mutation mutation(bool nested = false) {
    using Kind = Mutation::Kind;
    Mutation mutation;
    mutation.kind = static_cast<Kind>(1 + random_.below(nested ? 7 : 9));
    if (mutation.kind == Kind::prepare || mutation.kind == Kind::resolve) {
      mutation.record = record();
      if (mutation.kind == Kind::resolve) mutation.number = static_cast<std::int64_t>(random_.below(2));
      if (mutation.kind == Kind::resolve) return mutation;
      for (std::uint64_t i = random_.below(4); i > 0; --i) mutation.locks.push_back({key(), bytes(5)});
      for (std::uint64_t i = random_.below(4); i > 0; --i) mutation.part.push_back(this->mutation(true));
      return mutation;
    }
    mutation.row = {key(), bytes(10)};
    if (mutation.kind == Kind::put || mutation.kind == Kind::write_bytes) mutation.value = value();
    if (mutation.kind == Kind::write_bytes || mutation.kind == Kind::add_i64 || mutation.kind == Kind::max_i64) {
      mutation.offset = static_cast<std::uint32_t>(random_.below(1000));
    }
    if (mutation.kind == Kind::add_i64 || mutation.kind == Kind::max_i64) {
      mutation.number = static_cast<std::int64_t>(random_.next());
    }
    if (mutation.kind == Kind::truncate) mutation.number = static_cast<std::int64_t>(random_.below(5000));
    return mutation;
  }

  Batch batch() {
    Batch batch;
    batch.client = random_uuid(random_);
    batch.sequence = 1 + random_.below(1000);
    batch.first_incomplete = random_.below(batch.sequence);
    batch.expires = Stamp{static_cast<std::int64_t>(random_.next() >> 2)};
    for (std::uint64_t i = random_.below(5); i > 0; --i) batch.conditions.push_back(condition());
    for (std::uint64_t i = random_.below(5); i > 0; --i) batch.mutations.push_back(mutation());
    return batch;
  }

  ReadReply reply() {
    ReadReply reply;
    for (std::uint64_t i = random_.below(4); i > 0; --i) {
      ReadReply::Get get;
      get.found = random_.below(2) == 0;
      if (get.found) get.row = {bytes(9), random_.next(), value()};
      for (std::uint64_t j = random_.below(3); j > 0; --j) get.locks.push_back(record());
      reply.gets.push_back(get);
    }
    for (std::uint64_t i = random_.below(3); i > 0; --i) {
      ReadReply::ScanResult scan;
      for (std::uint64_t j = random_.below(4); j > 0; --j) scan.rows.push_back({bytes(9), random_.next(), value()});
      scan.more = random_.below(2) == 0;
      for (std::uint64_t j = random_.below(3); j > 0; --j) scan.locks.push_back(record());
      reply.scans.push_back(scan);
    }
    return reply;
  }

  Random& random() { return random_; }

 private:
  SeededRandom random_;
};

Batch simple_batch() {
  Batch batch;
  batch.sequence = 1;
  return batch;
}

// Encodings are canonical: equal bytes, equal batches.
void expect_same(const EncodedBatch& left, const EncodedBatch& right) {
  EXPECT_EQ(left.head, right.head);
  EXPECT_EQ(left.blobs, right.blobs);
}

TEST(Rows, Batch_EncodedAndDecoded_IsTheSame) {
  Generator generator(1);
  for (int i = 0; i < 400; ++i) {
    Batch batch = generator.batch();
    EncodedBatch encoded = encode(batch);
    Result<Batch> decoded = decode_batch(encoded.head, encoded.blobs);
    ASSERT_TRUE(decoded) << decoded.error().text();
    EXPECT_EQ(decoded->client, batch.client);
    EXPECT_EQ(decoded->sequence, batch.sequence);
    EXPECT_EQ(decoded->first_incomplete, batch.first_incomplete);
    EXPECT_EQ(decoded->expires, batch.expires);
    ASSERT_EQ(decoded->conditions.size(), batch.conditions.size());
    for (std::size_t j = 0; j < batch.conditions.size(); ++j) {
      EXPECT_EQ(decoded->conditions[j].row, batch.conditions[j].row);
      EXPECT_EQ(decoded->conditions[j].value, batch.conditions[j].value);
      EXPECT_EQ(decoded->conditions[j].version, batch.conditions[j].version);
      EXPECT_EQ(decoded->conditions[j].offset, batch.conditions[j].offset);
    }
    ASSERT_EQ(decoded->mutations.size(), batch.mutations.size());
    for (std::size_t j = 0; j < batch.mutations.size(); ++j) {
      EXPECT_EQ(decoded->mutations[j].row, batch.mutations[j].row);
      EXPECT_EQ(decoded->mutations[j].value, batch.mutations[j].value);
      EXPECT_EQ(decoded->mutations[j].number, batch.mutations[j].number);
      EXPECT_EQ(decoded->mutations[j].locks, batch.mutations[j].locks);
      EXPECT_EQ(decoded->mutations[j].part.size(), batch.mutations[j].part.size());
    }
    expect_same(encode(*decoded), encoded);
  }
}

TEST(Rows, Batch_LargeValue_TravelsAsBlobThatIsShared) {
  Batch batch = simple_batch();
  SharedBytes large(std::string(payload_threshold, 'x'));
  batch.mutations = {put("k", "a", large), put("k", "b", SharedBytes(std::string(payload_threshold - 1, 'y')))};
  EncodedBatch encoded = encode(batch);
  ASSERT_EQ(encoded.blobs.size(), 1u);
  EXPECT_EQ(encoded.blobs[0].data(), large.data());
  Result<Batch> decoded = decode_batch(encoded.head, encoded.blobs);
  ASSERT_TRUE(decoded);
  EXPECT_EQ(decoded->mutations[0].value.data(), large.data());
}

TEST(Rows, Batch_TruncatedAtAnyLengthOrExtended_IsCorrupt) {
  Generator generator(2);
  for (int i = 0; i < 20; ++i) {
    EncodedBatch encoded = encode(generator.batch());
    for (std::size_t size = 0; size < encoded.head.size(); size += size < 400 ? 1 : 997) {
      Result<Batch> decoded = decode_batch(SharedBytes(encoded.head.str().substr(0, size)), encoded.blobs);
      ASSERT_FALSE(decoded) << size;
      EXPECT_EQ(decoded.error().code, ErrorCode::corrupt);
    }
    EXPECT_FALSE(decode_batch(SharedBytes(encoded.head.str() + '\0'), encoded.blobs));
    std::vector<SharedBytes> more = encoded.blobs;
    more.emplace_back(std::string(payload_threshold, 'z'));
    EXPECT_FALSE(decode_batch(encoded.head, more));
  }
}

TEST(Rows, Decoders_RandomBytesAndFlippedBits_NeverCrash) {
  Generator generator(3);
  for (int i = 0; i < 3000; ++i) {
    EncodedBatch batch = encode(generator.batch());
    std::string head = batch.head.str();
    head[generator.random().below(head.size())] ^= static_cast<char>(1 << generator.random().below(8));
    (void)decode_batch(SharedBytes(head), batch.blobs);
    EncodedBatch reply = encode(generator.reply());
    head = reply.head.str();
    head[generator.random().below(head.size())] ^= static_cast<char>(1 << generator.random().below(8));
    (void)decode_read_reply(SharedBytes(head), reply.blobs);
    std::string noise = generator.bytes(60);
    (void)decode_part(noise);
    (void)decode_read_request(noise);
    (void)decode_batch_result(noise);
  }
}

TEST(Rows, Batch_HugeCount_IsRefusedWithoutAllocating) {
  EncodedBatch encoded = encode(simple_batch());
  std::string head = encoded.head.str();
  head.replace(head.size() - 8, 4, "\xff\xff\xff\xff");  // conditions
  EXPECT_FALSE(decode_batch(SharedBytes(head), {}));
}

TEST(Rows, Batch_TooManyBytes_IsTooLarge) {
  Result<Batch> decoded = decode_batch(SharedBytes("x"), {SharedBytes(std::string(max_batch_bytes, 'x'))});
  ASSERT_FALSE(decoded);
  EXPECT_EQ(decoded.error().code, ErrorCode::too_large);
}

TEST(Rows, Part_EncodedAndDecoded_KeepsLargeValuesInline) {
  std::vector<Mutation> part{put("k", "a", SharedBytes(std::string(2 * payload_threshold, 'p')))};
  Result<std::vector<Mutation>> decoded = decode_part(encode_part(part));
  ASSERT_TRUE(decoded);
  EXPECT_EQ((*decoded)[0].value, part[0].value);
}

TEST(Rows, Part_WithTransactionInside_IsCorrupt) {
  EXPECT_FALSE(decode_part(encode_part({resolve(RecordRef{}, false)})));
}

TEST(Rows, BatchResult_EveryOutcome_RoundTripsAndRefusesTruncation) {
  Generator generator(4);
  for (int outcome = 1; outcome <= 6; ++outcome) {
    BatchResult result;
    result.outcome = static_cast<BatchResult::Outcome>(outcome);
    result.stamp = Stamp{12345};
    if (result.outcome == BatchResult::Outcome::applied) result.version = 77;
    if (result.outcome == BatchResult::Outcome::condition_failed) result.failed_condition = 3;
    if (result.outcome == BatchResult::Outcome::locked) result.lock = generator.record();
    std::string encoded = encode(result);
    Result<BatchResult> decoded = decode_batch_result(encoded);
    ASSERT_TRUE(decoded);
    EXPECT_EQ(decoded->outcome, result.outcome);
    EXPECT_EQ(decoded->version, result.version);
    EXPECT_EQ(decoded->failed_condition, result.failed_condition);
    EXPECT_EQ(decoded->lock, result.lock);
    EXPECT_EQ(decoded->stamp, result.stamp);
    for (std::size_t size = 0; size < encoded.size(); ++size)
      EXPECT_FALSE(decode_batch_result(encoded.substr(0, size)));
  }
  EXPECT_FALSE(decode_batch_result(std::string(1, '\7') + std::string(8, '\0')));
}

TEST(Rows, ReadRequestAndReply_RoundTripAndTruncation_AreSafe) {
  Generator generator(5);
  ReadRequest request;
  request.gets = {{"k", "s"}, {"k", ""}};
  request.scans = {{"k", "E/", "E/a", 17, false}};
  std::string encoded = encode(request);
  Result<ReadRequest> decoded = decode_read_request(encoded);
  ASSERT_TRUE(decoded);
  EXPECT_EQ(decoded->gets, request.gets);
  EXPECT_EQ(decoded->scans[0].after, "E/a");
  EXPECT_EQ(decoded->scans[0].max_rows, 17u);
  EXPECT_FALSE(decoded->scans[0].values);
  for (std::size_t size = 0; size < encoded.size(); ++size) EXPECT_FALSE(decode_read_request(encoded.substr(0, size)));
  for (int i = 0; i < 200; ++i) {
    EncodedBatch reply = encode(generator.reply());
    Result<ReadReply> back = decode_read_reply(reply.head, reply.blobs);
    ASSERT_TRUE(back);
    expect_same(encode(*back), reply);
    for (std::size_t size = 0; size < std::min<std::size_t>(reply.head.size(), 300); ++size) {
      EXPECT_FALSE(decode_read_reply(SharedBytes(reply.head.str().substr(0, size)), reply.blobs));
    }
  }
}

TEST(Rows, Validate_LimitsOfABatch_AreExact) {
  Batch batch = simple_batch();
  batch.mutations = {put(std::string(max_key_bytes, 'k'), std::string(max_key_bytes, 's'),
                         SharedBytes(std::string(max_value_bytes, 'v')))};
  EXPECT_TRUE(validate(batch));
  EXPECT_LE(encode(batch).size(), max_batch_bytes);
  batch.mutations[0].row.key += 'k';
  EXPECT_EQ(validate(batch).error().code, ErrorCode::too_large);
  batch.mutations[0] = put("k", "", SharedBytes(std::string(max_value_bytes + 1, 'v')));
  EXPECT_EQ(validate(batch).error().code, ErrorCode::too_large);
  batch.mutations[0] = put("", "", {});
  EXPECT_EQ(validate(batch).error().code, ErrorCode::invalid_argument);
  batch.mutations.assign(max_batch_items, put("k", "", {}));
  EXPECT_TRUE(validate(batch));
  batch.mutations.push_back(put("k", "", {}));
  EXPECT_EQ(validate(batch).error().code, ErrorCode::too_large);
  batch = simple_batch();
  batch.sequence = 0;
  EXPECT_FALSE(validate(batch));
  batch.sequence = 3;
  batch.first_incomplete = 4;
  EXPECT_FALSE(validate(batch));
}

TEST(Rows, Validate_WriteBeyondTheLargestValue_IsTooLarge) {
  Batch batch = simple_batch();
  Mutation write = put("k", "", "ab");
  write.kind = Mutation::Kind::write_bytes;
  write.offset = max_value_bytes - 2;
  batch.mutations = {write};
  EXPECT_TRUE(validate(batch));
  batch.mutations[0].offset++;
  EXPECT_FALSE(validate(batch));
  batch.mutations[0].offset = UINT32_MAX;
  EXPECT_FALSE(validate(batch));
}

TEST(Rows, Validate_PrefixErasedByATransaction_IsRefused) {
  Batch batch = simple_batch();
  batch.mutations = {erase_prefix({"k", "s"})};
  EXPECT_TRUE(validate(batch));
  batch.mutations = {prepare(RecordRef{}, batch.mutations)};
  Status refused = validate(batch);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::invalid_argument);
}

TEST(Rows, Validate_ReservedKeys_OnlyRecordsAreLetThrough) {
  const std::string reserved("\0lock", 5);
  for (auto kind : {Mutation::Kind::put, Mutation::Kind::erase, Mutation::Kind::erase_prefix, Mutation::Kind::add_i64,
                    Mutation::Kind::write_bytes, Mutation::Kind::truncate}) {
    Batch batch = simple_batch();
    batch.mutations = {put(reserved, "s", {})};
    batch.mutations[0].kind = kind;
    EXPECT_FALSE(validate(batch));
    batch.mutations[0].row.key = record_key;
    EXPECT_EQ(validate(batch).has_value(), kind == Mutation::Kind::put || kind == Mutation::Kind::erase);
    batch.mutations = {prepare(RecordRef{}, batch.mutations)};
    EXPECT_FALSE(validate(batch)) << "a part must not touch records";
  }
  Batch batch = simple_batch();
  batch.conditions = {absent({record_key, "s"})};
  EXPECT_TRUE(validate(batch));
  batch.conditions[0].row.key = reserved;
  EXPECT_FALSE(validate(batch));
}

TEST(Rows, Validate_NestedTransaction_IsRefused) {
  Batch batch = simple_batch();
  batch.mutations = {prepare(RecordRef{}, {resolve(RecordRef{}, false)})};
  EXPECT_EQ(validate(batch).error().code, ErrorCode::invalid_argument);
}

TEST(Rows, Validate_Reads_LimitsHold) {
  ReadRequest request;
  request.gets.assign(max_read_items, {"k", ""});
  EXPECT_TRUE(validate(request));
  request.scans.push_back({"k", "", "", 1, true});
  EXPECT_EQ(validate(request).error().code, ErrorCode::too_large);
  request.gets.clear();
  EXPECT_TRUE(validate(request));
  request.scans[0].max_rows = 0;
  EXPECT_FALSE(validate(request));
}

TEST(Rows, RecordSort_OlderTransactions_SortFirst) {
  TransactionId older{5, {}};
  TransactionId younger{256, {}};
  EXPECT_LT(record_sort(older), record_sort(younger));
}

}  // namespace
}  // namespace ringfs

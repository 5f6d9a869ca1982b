// Single operations on a MemoryRing, with the faults that a test asks for.
#include "tests/support/memory_object_store.hpp"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>

#include "dht/net/client/lock_resolver.hpp"
#include "dht/net/runtime/access.hpp"

namespace ringfs {

namespace asio = boost::asio;

BatchResult MemoryRing::apply(PartitionId partition, const Batch& batch, Stamp now) {
  Partition& place = partitions[partition];
  place.stamp = std::max(place.stamp, now);
  return evaluate(batch, place.stamp, ++place.index, place.rows);
}

std::size_t MemoryRing::intents() const {
  std::size_t count = 0;
  for (const auto& [id, partition] : partitions) {
    for (const auto& [row, stored] : partition.rows.all())
      count += row.key == dht::lock_key || row.key == dht::part_key ? 1 : 0;
  }
  return count;
}

std::size_t MemoryRing::records() const {
  std::size_t count = 0;
  for (const auto& [id, partition] : partitions) {
    for (const auto& [row, stored] : partition.rows.all()) count += row.key == record_key ? 1 : 0;
  }
  return count;
}

MemoryObjectStore::MemoryObjectStore(VirtualTime& time, std::shared_ptr<MemoryRing> ring, std::uint64_t seed,
                                     dht::TransactionFaults faults)
    : PartitionedStore(faults), time_(time), ring_(std::move(ring)), random_(seed), client_(random_uuid(random_)) {}

Task<void> MemoryObjectStore::sleep_beside(Duration duration) {
  asio::steady_timer timer(time_.loop(), duration);
  boost::system::error_code ignored;  // cancelled: the sleep ends early
  co_await timer.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
}

Task<Result<dht::LockFate>> MemoryObjectStore::settle_elsewhere(PartitionId where, RecordRef lock, TimePoint deadline) {
  const dht::SettleOperation asked{where, lock};
  co_return co_await dht::settle_for_reader(*settles_, asked, deadline);
}

Status MemoryObjectStore::check_role(const dht::Operation& operation) const {
  return dht::check_access(settles_ == nullptr ? AccessRole::node : AccessRole::reader, operation);
}

// Every operation goes over the loop once, as a real one would.
Task<void> MemoryObjectStore::wait_for_release() {
  auto gate = std::make_shared<asio::steady_timer>(time_.loop(), asio::steady_timer::time_point::max());
  held_.push_back(gate);
  boost::system::error_code ignored;
  co_await gate->async_wait(asio::redirect_error(asio::use_awaitable, ignored));
}

Task<Status> MemoryObjectStore::arrive() {
  co_await asio::post(time_.loop(), asio::use_awaitable);
  if (latency_ > Duration(0)) co_await time_.sleep(latency_);
  if (holding_) co_await wait_for_release();
  if (operations_left_) {
    if (*operations_left_ == 0) co_return fail(ErrorCode::timeout, "the process is dead");
    --*operations_left_;
  }
  co_return Status();
}

std::optional<MemoryObjectStore::Fault> MemoryObjectStore::next_fault(std::deque<Fault>& faults) {
  if (faults.empty()) return std::nullopt;
  Fault fault = faults.front();
  faults.pop_front();
  if (!fault.error) return std::nullopt;
  return fault;
}

Task<Result<ReadReply>> MemoryObjectStore::read_raw(PartitionId partition, ReadRequest request, TimePoint deadline) {
  ++reads_;
  Status arrived = co_await arrive();
  if (!arrived) co_return tl::unexpected(arrived.error());
  if (clock().now >= deadline) co_return fail(ErrorCode::timeout);
  if (std::optional<Fault> fault = next_fault(read_faults_)) co_return fail(*fault->error, "injected");
  if (Status may = check_role(dht::ReadOperation{partition, request}); !may) co_return tl::unexpected(may.error());
  Result<ReadReply> reply = dht::execute_read(request, ring_->partitions[partition].rows);
  if (!reply) co_return reply;
  EncodedBatch encoded = encode(*reply);
  co_return decode_read_reply(encoded.head, encoded.blobs);
}

Task<Result<BatchResult>> MemoryObjectStore::commit_raw(PartitionId partition, std::vector<Condition> conditions,
                                                        std::vector<Mutation> mutations, TimePoint deadline) {
  ++commits_;
  Batch batch;
  batch.client = client_;
  Sequences& sequences = sequences_[partition];
  batch.sequence = sequences.last + 1;
  batch.first_incomplete = sequences.outstanding.empty() ? batch.sequence : *sequences.outstanding.begin();
  batch.expires = std::max(time_.clock().stamp, ring_->partitions[partition].stamp) + std::chrono::seconds(55);
  batch.conditions = std::move(conditions);
  batch.mutations = std::move(mutations);
  if (Status status = validate(batch); !status) co_return tl::unexpected(status.error());
  sequences.outstanding.insert(++sequences.last);
  EncodedBatch encoded = encode(batch);
  Result<BatchResult> result = co_await execute(partition, std::move(encoded), deadline);
  sequences_[partition].outstanding.erase(batch.sequence);
  co_return result;
}

Task<Result<BatchResult>> MemoryObjectStore::execute(PartitionId partition, EncodedBatch encoded, TimePoint deadline) {
  Status arrived = co_await arrive();
  if (!arrived) co_return tl::unexpected(arrived.error());
  if (clock().now >= deadline) co_return fail(ErrorCode::timeout);
  std::optional<Fault> fault = next_fault(commit_faults_);
  if (fault && !fault->executed) co_return fail(*fault->error, "injected");
  if (Status may = check_role(dht::CommitOperation{partition, encoded}); !may) co_return tl::unexpected(may.error());
  Result<Batch> decoded = decode_batch(encoded.head, encoded.blobs);
  if (!decoded) co_return tl::unexpected(decoded.error());
  BatchResult result = ring_->apply(partition, *decoded, time_.clock().stamp);
  if (holding_answers_) co_await wait_for_release();
  if (fault) co_return fail(*fault->error, "injected after it happened");
  if (result.outcome == BatchResult::Outcome::expired || result.outcome == BatchResult::Outcome::superseded) {
    co_return fail(ErrorCode::timeout, "the batch expired");
  }
  co_return result;
}

void MemoryObjectStore::fail_commits(std::size_t count, ErrorCode error, bool executed) {
  if (count == 0) commit_faults_.clear();
  for (std::size_t i = 0; i < count; ++i) commit_faults_.push_back({error, executed});
}

void MemoryObjectStore::succeed_commits(std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) commit_faults_.push_back({std::nullopt, false});
}

void MemoryObjectStore::fail_reads(std::size_t count, ErrorCode error) {
  for (std::size_t i = 0; i < count; ++i) read_faults_.push_back({error, false});
}

void MemoryObjectStore::release_one() {
  if (held_.empty()) return;
  held_.front()->cancel();
  held_.pop_front();
}

void MemoryObjectStore::release_newest() {
  if (held_.empty()) return;
  held_.back()->cancel();
  held_.pop_back();
}

void MemoryObjectStore::release_all() {
  holding_ = false;
  while (!held_.empty()) release_one();
}

}  // namespace ringfs

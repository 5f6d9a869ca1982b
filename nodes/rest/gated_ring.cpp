#include "nodes/rest/gated_ring.hpp"

namespace ringfs::nodes {

namespace {

tl::unexpected<Error> waiting() { return fail(ErrorCode::unavailable, "this node waits to be added to a ring"); }

// A transaction that was begun before there is a ring.
class NoTransaction final : public Transaction {
 public:
  Task<Result<CommitReply>> prepare(TransactionPart) override { co_return waiting(); }
  Task<Status> commit() override { co_return waiting(); }
  Task<void> abort() override { co_return; }
};

}  // namespace

Task<Result<ReadReply>> GatedStore::read(ReadRequest request, TimePoint deadline) {
  if (!open_) co_return waiting();
  Result<ReadReply> reply = co_await store_.read(std::move(request), deadline);
  co_return reply;
}

Task<Result<CommitReply>> GatedStore::commit(CommitRequest request, TimePoint deadline) {
  if (!open_) co_return waiting();
  Result<CommitReply> reply = co_await store_.commit(std::move(request), deadline);
  co_return reply;
}

std::unique_ptr<Transaction> GatedStore::begin(TimePoint deadline) {
  if (!open_) return std::make_unique<NoTransaction>();
  return store_.begin(deadline);
}

Task<Result<RingStatus>> GatedRing::status(TimePoint deadline) {
  if (!open_) co_return waiting();
  Result<RingStatus> answer = co_await ring_.status(deadline);
  co_return answer;
}

Task<Result<std::vector<MemberView>>> GatedRing::members(TimePoint deadline) {
  if (!open_) co_return waiting();
  Result<std::vector<MemberView>> answer = co_await ring_.members(deadline);
  co_return answer;
}

Task<Result<std::vector<PartitionView>>> GatedRing::partitions(TimePoint deadline) {
  if (!open_) co_return waiting();
  Result<std::vector<PartitionView>> answer = co_await ring_.partitions(deadline);
  co_return answer;
}

Task<Result<RouteView>> GatedRing::lookup(std::string key, TimePoint deadline) {
  if (!open_) co_return waiting();
  Result<RouteView> answer = co_await ring_.lookup(std::move(key), deadline);
  co_return answer;
}

Task<Result<RebalanceView>> GatedRing::rebalance(TimePoint deadline) {
  if (!open_) co_return waiting();
  Result<RebalanceView> answer = co_await ring_.rebalance(deadline);
  co_return answer;
}

Task<Result<std::vector<EventView>>> GatedRing::events(EventCursor after, TimePoint deadline) {
  if (!open_) co_return waiting();
  Result<std::vector<EventView>> answer = co_await ring_.events(std::move(after), deadline);
  co_return answer;
}

Task<Result<SpaceView>> GatedRing::space(TimePoint deadline) {
  if (!open_) co_return waiting();
  Result<SpaceView> answer = co_await ring_.space(deadline);
  co_return answer;
}

Task<Result<Uuid>> GatedAdmin::add(std::string address, TimePoint deadline) {
  if (!open_) co_return waiting();
  Result<Uuid> answer = co_await admin_.add(std::move(address), deadline);
  co_return answer;
}

Task<Result<Uuid>> GatedAdmin::remove(std::string member, bool force, TimePoint deadline) {
  if (!open_) co_return waiting();
  Result<Uuid> answer = co_await admin_.remove(std::move(member), force, deadline);
  co_return answer;
}

Task<Result<std::map<std::string, std::string>>> GatedAdmin::settings(TimePoint deadline) {
  if (!open_) co_return waiting();
  Result<std::map<std::string, std::string>> answer = co_await admin_.settings(deadline);
  co_return answer;
}

Task<Status> GatedAdmin::set(std::string name, std::string value, TimePoint deadline) {
  if (!open_) co_return waiting();
  Status answer = co_await admin_.set(std::move(name), std::move(value), deadline);
  co_return answer;
}

}  // namespace ringfs::nodes

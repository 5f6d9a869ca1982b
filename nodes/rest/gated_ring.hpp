// The ring for the gateway of a node that may not belong to one yet: until open() every call answers `unavailable`.
//
// Threads: one loop; store and ring outlive it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "dht/base/object_store.hpp"
#include "dht/base/ring_admin.hpp"
#include "dht/base/ring_view.hpp"

namespace ringfs::nodes {

class GatedStore final : public ObjectStore {
 public:
  explicit GatedStore(ObjectStore& store) : store_(store) {}
  void open() { open_ = true; }

  Task<Result<ReadReply>> read(ReadRequest request, TimePoint deadline) override;
  Task<Result<CommitReply>> commit(CommitRequest request, TimePoint deadline) override;
  std::unique_ptr<Transaction> begin(TimePoint deadline) override;
  Task<void> finish_transactions(TimePoint deadline) override { return store_.finish_transactions(deadline); }
  unsigned partition_bits() const override { return open_ ? store_.partition_bits() : 0; }
  Clock clock() const override { return store_.clock(); }
  Random& random() override { return store_.random(); }
  Task<void> sleep(Duration duration) override { return store_.sleep(duration); }

 private:
  ObjectStore& store_;
  bool open_ = false;
};

class GatedRing final : public RingView {
 public:
  explicit GatedRing(RingView& ring) : ring_(ring) {}
  void open() { open_ = true; }

  Task<Result<RingStatus>> status(TimePoint deadline) override;
  Task<Result<std::vector<MemberView>>> members(TimePoint deadline) override;
  Task<Result<std::vector<PartitionView>>> partitions(TimePoint deadline) override;
  Task<Result<RouteView>> lookup(std::string key, TimePoint deadline) override;
  Task<Result<RebalanceView>> rebalance(TimePoint deadline) override;
  Task<Result<std::vector<EventView>>> events(EventCursor after, TimePoint deadline) override;
  Task<Result<SpaceView>> space(TimePoint deadline) override;
  std::string metrics_text() override { return ring_.metrics_text(); }

 private:
  RingView& ring_;
  bool open_ = false;
};

class GatedAdmin final : public RingAdmin {
 public:
  explicit GatedAdmin(RingAdmin& admin) : admin_(admin) {}
  void open() { open_ = true; }

  Task<Result<Uuid>> add(std::string address, TimePoint deadline) override;
  Task<Result<Uuid>> remove(std::string member, bool force, TimePoint deadline) override;
  Task<Result<std::map<std::string, std::string>>> settings(TimePoint deadline) override;
  Task<Status> set(std::string name, std::string value, TimePoint deadline) override;

 private:
  RingAdmin& admin_;
  bool open_ = false;
};

}  // namespace ringfs::nodes

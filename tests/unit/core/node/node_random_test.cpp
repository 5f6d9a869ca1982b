// Random schedules: messages lost, delayed, reordered and doubled, disks that stall, processes that freeze or die.
// Afterwards: nothing that was acknowledged is gone, every read was fresh, logs agree, and the ring serves again. The
// simulator (tests/sim) goes further; this runs in a second.
#include <gtest/gtest.h>

#include <cstdlib>

#include "tests/unit/core/raft/raft_cluster.hpp"

namespace ringfs::dht::test {
namespace {

using namespace std::chrono_literals;

class RandomRun {
 public:
  RandomRun(std::uint64_t seed, unsigned nodes)
      : seed_(seed), random_(seed), cluster_(nodes, 3, true, options_of(seed)) {
    for (const char* name : {"a", "b", "c", "d"}) keys_.push_back(name);
    cluster_.network.deliver = [this](const Envelope& envelope) { return pass(envelope); };
  }

  void go() {
    cluster_.run(2s);
    for (int step = 0; step < 1500 && !::testing::Test::HasFailure(); ++step) {
      act();
      cluster_.run(Duration(static_cast<std::int64_t>(random_.below(40'000))));
      deliver_late();
      check_answers();
      check_logs();
    }
    heal();
    for (const std::string& key : keys_) {
      PartitionId partition = cluster_.partition_of_key(key);
      bool ready = cluster_.run_until([&] { return cluster_.ready(partition); }, 20s);
      ASSERT_TRUE(ready) << "no leader, seed " << seed_;
    }
    cluster_.run(15s);
    check_answers();
    check_end();
  }

  unsigned acknowledged = 0;
  unsigned reads = 0;
  std::map<std::string, unsigned> events() const {
    std::map<std::string, unsigned> sum;
    for (const Machine& machine : cluster_.machines) {
      for (const auto& [name, count] : machine.events) sum[name] += count;
    }
    return sum;
  }

 private:
  // Every other seed compacts its logs so far that followers need snapshots.
  static NodeOptions options_of(std::uint64_t seed) {
    NodeOptions options;
    options.log_keep_entries = seed % 4 == 0 ? 4 : 0;
    options.log_budget_bytes = seed % 4 == 2 ? 1500 : 0;
    return options;
  }

  bool chance(unsigned percent) { return random_.below(100) < percent; }

  bool pass(const Envelope& envelope) {
    unsigned from = number_of(envelope.header.source);
    unsigned to = number_of(envelope.header.destination);
    if (calm_) return true;
    if (cluster_.machines[to].frozen) {  // waits in its socket
      late_.push_back(envelope);
      return false;
    }
    if (cut_.contains({from, to}) || chance(2)) return false;
    if (chance(3)) late_.push_back(envelope);  // doubled
    if (!chance(5)) return true;
    late_.push_back(envelope);
    return false;
  }
  void deliver_late() {
    std::vector<Envelope> now;
    for (std::size_t i = 0; i < late_.size();) {
      if (!chance(40)) {
        ++i;
        continue;
      }
      now.push_back(late_[i]);
      late_.erase(late_.begin() + static_cast<std::ptrdiff_t>(i));
    }
    for (Envelope& envelope : now) {
      unsigned to = number_of(envelope.header.destination);
      if (!cluster_.machines[to].node) continue;
      if (cluster_.machines[to].frozen) {
        late_.push_back(envelope);
        continue;
      }
      cluster_.node(to).receive(envelope, cluster_.clock);
      cluster_.pump(to);
    }
    cluster_.settle();
  }

  void act() {
    auto size = static_cast<unsigned>(cluster_.machines.size());
    auto i = static_cast<unsigned>(random_.below(size));
    Machine& machine = cluster_.machines[i];
    std::uint64_t dice = random_.below(1000);
    if (dice < 12) {
      if (machine.node) cluster_.crash(i);
      for (unsigned other = 0; other < size; ++other) {
        if (other == i || !cluster_.machines[other].node || !chance(70)) continue;
        cluster_.node(other).peer_disconnected(node_id(i), cluster_.clock);
        cluster_.pump(other);
      }
    } else if (dice < 50) {
      if (!machine.node) cluster_.start(i);
    } else if (dice < 70) {
      if (machine.node) machine.hold_disk = true;
    } else if (dice < 130) {
      if (machine.node) cluster_.release_disk(i);
    } else if (dice < 150) {
      cut_.insert({i, static_cast<unsigned>(random_.below(size))});
    } else if (dice < 190) {
      cut_.clear();
    } else if (dice < 196) {
      if (machine.node) freeze(i);
    } else if (dice < 200) {
      for (unsigned all = 0; all < size; ++all) {
        if (cluster_.machines[all].node) cluster_.crash(all);
        cluster_.start(all);
      }
    } else if (machine.node && !machine.frozen && dice < 600) {
      write(i);
    } else if (machine.node && !machine.frozen) {
      read(i);
    }
  }

  // The process stops for about as long as an election takes; a client's requests wait in its socket and are the first
  // thing it sees when it goes on. The others may take it for dead at once.
  void freeze(unsigned i) {
    cluster_.machines[i].frozen = true;
    for (unsigned other = 0; other < cluster_.machines.size(); ++other) {
      Machine& machine = cluster_.machines[other];
      if (other == i || !machine.node || machine.frozen || !chance(70)) continue;
      cluster_.node(other).peer_disconnected(node_id(i), cluster_.clock);
      cluster_.pump(other);
    }
    TimePoint end = cluster_.clock.now + Duration(static_cast<std::int64_t>(300'000 + random_.below(1'200'000)));
    while (cluster_.clock.now < end) {
      cluster_.run(50ms);
      for (unsigned other = 0; other < cluster_.machines.size(); ++other) {
        if (cluster_.machines[other].node && !cluster_.machines[other].frozen) write(other);
      }
      cluster_.settle();
      check_answers();
    }
    cluster_.machines[i].frozen = false;
    if (!cluster_.machines[i].node) return;
    for (int n = 0; n < 8; ++n) read(i);
    check_answers();
  }

  void write(unsigned i) {
    const std::string& key = keys_[random_.below(keys_.size())];
    // Values grow, so that a lost write shows: the counter is in the value and a later one is never overtaken on
    // purpose.
    std::string value = std::to_string(++counter_);
    OperationId id = cluster_.put(i, key, value);
    pending_[{i, id}] = {true, key, counter_, floor_[key]};
  }
  void read(unsigned i) {
    const std::string& key = keys_[random_.below(keys_.size())];
    OperationId id = cluster_.get(i, key);
    pending_[{i, id}] = {false, key, 0, floor_[key]};
  }

  // A read sees a version at least as new as every write (and read) of the key that was answered before it was asked.
  void check_answers() {
    for (auto it = pending_.begin(); it != pending_.end();) {
      std::optional<OperationResult> result = cluster_.reply(it->first.first, it->first.second);
      if (!result) {
        ++it;
        continue;
      }
      const Asked& asked = it->second;
      if (result->has_value() && asked.write) {
        auto answer = std::get<BatchResult>(**result);
        if (answer.outcome == BatchResult::Outcome::applied) {
          ++acknowledged;
          EXPECT_GT(answer.version, asked.floor) << "went back in time, seed " << seed_;
          floor_[asked.key] = std::max(floor_[asked.key], answer.version);
          newest_[asked.key][answer.version] = std::to_string(asked.value);
        }
      } else if (result->has_value()) {
        ++reads;
        const auto& encoded = std::get<ReadAnswer>(**result);
        Result<ReadReply> reply = decode_read_reply(encoded.head, encoded.blobs);
        std::uint64_t version = reply->gets[0].found ? reply->gets[0].row.version : 0;
        EXPECT_GE(version, asked.floor) << "stale read of " << asked.key << ", seed " << seed_;
        auto known = newest_[asked.key].find(version);
        if (known != newest_[asked.key].end()) {
          EXPECT_EQ(reply->gets[0].row.value.str(), known->second) << "seed " << seed_;
        }
        floor_[asked.key] = std::max(floor_[asked.key], version);
      }
      it = pending_.erase(it);
    }
  }

  // One leader per term, and what is applied is the same everywhere.
  void check_logs() {
    for (unsigned i = 0; i < cluster_.machines.size(); ++i) {
      for (const auto& [partition, group] : cluster_.machines[i].store.groups) {
        for (const auto& [index, entry] : group.log) {
          if (index > group.applied) break;
          auto [known, fresh] = terms_.try_emplace({partition, index}, entry.term);
          EXPECT_EQ(known->second, entry.term) << "a committed entry changed, seed " << seed_;
        }
      }
      if (!cluster_.machines[i].node) continue;
      for (const GroupStatus& status : cluster_.node(i).status(cluster_.clock).groups) {
        if (status.role != Role::leader) continue;
        auto [known, fresh] = leaders_.try_emplace({status.partition, status.term}, i);
        EXPECT_EQ(known->second, i) << "two leaders of a term, seed " << seed_;
      }
    }
  }

  void heal() {
    calm_ = true;
    cut_.clear();
    late_.clear();
    for (unsigned i = 0; i < cluster_.machines.size(); ++i) {
      if (!cluster_.machines[i].node) cluster_.start(i);
      cluster_.release_disk(i);
    }
  }

  void check_end() {
    MemoryStore& one = cluster_.machines[0].store;
    for (const auto& [partition, group] : one.groups) {
      for (const Machine& other : cluster_.machines) {
        EXPECT_EQ(other.store.groups.at(partition).applied, group.applied) << "seed " << seed_;
        EXPECT_TRUE(other.store.groups.at(partition).rows == group.rows) << "replicas differ, seed " << seed_;
      }
      EXPECT_EQ(cluster_.leader(partition), cluster_.preferred(partition))
          << "leadership did not drift, seed " << seed_;
    }
    for (const std::string& key : keys_) {
      std::optional<Row> row = one.groups.at(cluster_.partition_of_key(key)).rows.get({key, "v"});
      EXPECT_GE(row ? row->version : 0, floor_[key]) << "an acknowledged write is gone, seed " << seed_;
    }
  }

  struct Asked {
    bool write = false;
    std::string key;
    std::uint64_t value = 0;
    std::uint64_t floor = 0;
  };
  std::uint64_t seed_;
  SeededRandom random_;
  Cluster cluster_;
  std::vector<std::string> keys_;
  bool calm_ = false;
  std::set<std::pair<unsigned, unsigned>> cut_;
  std::vector<Envelope> late_;
  std::uint64_t counter_ = 0;
  std::map<std::pair<unsigned, OperationId>, Asked> pending_;
  std::map<std::string, std::uint64_t> floor_;
  std::map<std::string, std::map<std::uint64_t, std::string>> newest_;
  std::map<std::pair<PartitionId, LogIndex>, Term> terms_;
  std::map<std::pair<PartitionId, Term>, unsigned> leaders_;
};

TEST(NodeRandom, FaultsOfEveryKind_NothingAcknowledgedIsLostAndReadsAreFresh) {
  std::uint64_t first = 1;
  std::uint64_t count = 12;
  if (const char* given = std::getenv("RINGFS_SEED")) {
    first = std::strtoull(given, nullptr, 10);
    count = 1;
  }
  if (const char* given = std::getenv("RINGFS_SEEDS")) count = std::strtoull(given, nullptr, 10);
  std::map<std::string, unsigned> events;
  for (std::uint64_t seed = first; seed < first + count && !HasFailure(); ++seed) {
    RandomRun run(seed, seed % 3 == 0 ? 5 : 3);
    run.go();
    EXPECT_GT(run.acknowledged, 10U) << "the seed did nothing: " << seed;
    EXPECT_GT(run.reads, 10U) << "the seed did nothing: " << seed;
    for (const auto& [name, number] : run.events()) events[name] += number;
  }
  if (count < 10) return;
  for (const char* name :
       {"leader_elected", "step_down", "transfer", "log_truncated", "read_index_fallback", "snapshot_installed"}) {
    EXPECT_GT(events[name], 0U) << name;
  }
}

}  // namespace
}  // namespace ringfs::dht::test

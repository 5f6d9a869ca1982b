// What simulated clients do, and what must be true of what they heard.
//
// Registers: contended objects with reads, writes, erasures, compare-and-sets and additions. Each keeps two equal rows,
// so that a torn batch shows. Every object's history is checked for linearizability.
// Accounts: transfers between partitions. The sum stays, a transfer is in both accounts or in neither, and nobody sees
// half of one. Each account also counts its transfers, by additions of the transactions; nobody sees fewer than were
// committed or seen before.
// Threads: one, virtual.
#pragma once

#include <algorithm>
#include <compare>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "dht/base/object_store.hpp"
#include "dht/net/client/partitioned_store.hpp"
#include "tests/sim/checks/history.hpp"
#include "tests/sim/machines/world.hpp"

namespace ringfs::sim {

struct WorkloadOptions {
  unsigned registers = 4;
  unsigned accounts = 3;
  Duration think_low{5000}, think_high{80000};
  Duration operation_timeout = std::chrono::seconds(5);
  Duration transfer_timeout = std::chrono::seconds(8);
  double transfers = 0.2;  // share of transfers among all operations
  double account_reads = 0.1;
  double count_reads =
      0.5;  // share of these that read the counts; and of committed transfers that are followed by such a read
  double three_parties = 0.4;  // share of transfers that touch three accounts, if there are as many
  double abandoned = 0.05;     // share of transfers that are abandoned without a commit
  double large_values = 0.03;  // share of writes that carry one
  std::size_t large_value_bytes = payload_threshold + 4096;
  double patches = 0.3;  // share of additions that also write a few bytes into the large value
};

class Workload {
 public:
  Workload(World& world, WorkloadOptions options, unsigned partition_bits);
  Workload(const Workload&) = delete;
  Workload& operator=(const Workload&) = delete;

  // Creates the accounts. True: all are there.
  Task<bool> set_up(ObjectStore* store);
  // Operations until stop(). May be destroyed at any suspension.
  Task<void> work(ObjectStore* store);
  // What a node's janitor does about abandoned records.
  Task<void> clean_up(dht::PartitionedStore* store);
  void stop() { stopped_ = true; }
  // Reads every account, and so ends every lock that is left.
  Task<void> meet_locks(ObjectStore* store);
  // Reads everything once more. True: everything answered.
  Task<bool> read_everything(ObjectStore* store);
  // After read_everything(): checks histories and sums.
  void check();

  std::uint64_t acknowledged() const { return acknowledged_; }
  std::string describe(const std::string& key) const;

 private:
  struct Register {
    std::string key;
    std::deque<RegisterOperation> history;
    RegisterState seen;              // by some client, lately
    std::uint64_t seen_version = 0;  // 0: not known
  };
  struct Account {
    std::int64_t balance = 0;
    std::set<std::uint64_t> transfers;
    std::uint64_t version = 0;
  };
  struct Transfer {
    std::vector<std::size_t> accounts;  // the payer first, in the order of their prepares
    enum class End { unknown, committed, aborted } end = End::unknown;
    TimePoint ended = never;
    bool touches(std::size_t account) const {
      return std::find(accounts.begin(), accounts.end(), account) != accounts.end();
    }
  };
  // A transfer that holds its first `held` accounts and wants the next one.
  struct Halfway {
    std::uint64_t id = 0;
    std::size_t held = 0;
    friend auto operator<=>(const Halfway&, const Halfway&) = default;
  };

  Register& current(std::size_t number);
  Task<void> register_operation(ObjectStore* store);
  Task<void> read_register(ObjectStore* store, Register* object, bool* answered);
  Task<void> change_register(ObjectStore* store, Register* object);
  CommitRequest request_for(const Register& object, const RegisterOperation& operation);
  Task<void> transfer(ObjectStore* store);
  Task<void> try_transfer(ObjectStore* store, std::uint64_t id, bool* again);
  // False: the transfer ended without this part. `again`: another try may succeed.
  Task<bool> prepare_part(ObjectStore* store, Transaction* transaction, Halfway place, std::int64_t amount,
                          bool* again);
  Task<void> read_accounts(ObjectStore* store);
  // Reads twice: the second read may come from leased rows.
  Task<void> read_count(ObjectStore* store, std::size_t number);
  Task<void> read_count_once(ObjectStore* store, std::size_t number, bool with_balance);
  Task<Result<Account>> read_account(ObjectStore* store, std::size_t number);
  void count_crossing(const Halfway& own);
  void check_known_ends(const Account& account, std::size_t number, TimePoint called);
  void check_count(std::int64_t count, std::size_t number, TimePoint called);
  void failed(const Error& error);
  void acknowledged_one();
  static SharedBytes encode_account(const Account& account);

  World& world_;
  const WorkloadOptions options_;
  const unsigned partition_bits_;
  bool stopped_ = false;
  std::uint64_t acknowledged_ = 0;
  std::int64_t next_value_ = 1;
  std::uint64_t next_transfer_ = 1;
  std::vector<std::deque<Register>> registers_;  // generations of each; the last one is in use
  std::vector<std::string> account_keys_;
  std::map<std::uint64_t, Transfer> transfers_;
  std::set<Halfway> halfway_;
  struct SeenCount {
    TimePoint returned;
    std::int64_t most = 0;  // by then
  };
  std::map<std::size_t, std::vector<SeenCount>> seen_counts_;  // of each account, in the order of time
  std::vector<Account> final_accounts_;
  std::vector<std::int64_t> final_counts_;
};

}  // namespace ringfs::sim

// Transfers among two or three accounts, each in a partition of its own, and what readers may see of them.
#include <algorithm>

#include "tests/sim/workload/requests.hpp"
#include "tests/sim/workload/workload.hpp"

namespace ringfs::sim {

namespace {

constexpr int transfer_attempts = 3;
constexpr Duration between_counts_low = std::chrono::milliseconds(1),
                   between_counts_high = std::chrono::milliseconds(40);

// Keeps a member in `places` while this lives, in the frame of a coroutine that may be destroyed at any suspension.
template <class Place>
class Standing {
 public:
  Standing(std::set<Place>& places, Place place) : places_(places), place_(place) { places_.insert(place_); }
  Standing(const Standing&) = delete;
  Standing& operator=(const Standing&) = delete;
  ~Standing() { places_.erase(place_); }

 private:
  std::set<Place>& places_;
  const Place place_;
};

}  // namespace

SharedBytes Workload::encode_account(const Account& account) {
  Writer writer;
  writer.i64(account.balance);
  writer.u32(static_cast<std::uint32_t>(account.transfers.size()));
  for (std::uint64_t id : account.transfers) writer.u64(id);
  return SharedBytes(writer.take());
}

Task<Result<Workload::Account>> Workload::read_account(ObjectStore* store, std::size_t number) {
  ReadRequest request;
  request.gets.push_back({account_keys_[number], "balance"});
  Result<ReadReply> reply = co_await store->read(std::move(request), store->clock().now + options_.operation_timeout);
  if (!reply) {
    failed(reply.error());
    co_return tl::unexpected(reply.error());
  }
  Account account;
  if (!reply->gets[0].found) {
    world_.violate("acknowledged writes survive", account_keys_[number] + " is gone");
    co_return account;
  }
  Reader reader(reply->gets[0].row.value.view());
  account.balance = reader.i64();
  std::size_t count = reader.count(8);
  for (std::size_t i = 0; i < count; ++i) account.transfers.insert(reader.u64());
  account.version = reply->gets[0].row.version;
  if (!reader.done()) world_.violate("values come back as they were written", account_keys_[number]);
  acknowledged_one();
  co_return account;
}

Task<void> Workload::transfer(ObjectStore* store) {
  std::vector<std::size_t> accounts(options_.accounts);
  for (std::size_t i = 0; i < accounts.size(); ++i) accounts[i] = i;
  for (std::size_t i = accounts.size(); i > 1; --i) std::swap(accounts[i - 1], accounts[world_.between(0, i - 1)]);
  accounts.resize(accounts.size() > 2 && world_.chance(options_.three_parties) ? 3 : 2);
  for (int attempt = 0; attempt < transfer_attempts && !stopped_; ++attempt) {
    bool again = false;
    std::uint64_t id = next_transfer_++;
    transfers_[id].accounts = accounts;
    co_await try_transfer(store, id, &again);
    if (!again) co_return;
  }
}

// Two transactions hold what the other one wants, as two opposite renames between two directories do.
void Workload::count_crossing(const Halfway& own) {
  auto holds = [&](const Halfway& place, std::size_t account) {
    const std::vector<std::size_t>& accounts = transfers_.at(place.id).accounts;
    return std::find(accounts.begin(), accounts.begin() + static_cast<std::ptrdiff_t>(place.held), account) !=
           accounts.begin() + static_cast<std::ptrdiff_t>(place.held);
  };
  auto wants = [&](const Halfway& place) { return transfers_.at(place.id).accounts[place.held]; };
  bool crosses = std::any_of(halfway_.begin(), halfway_.end(), [&](const Halfway& rival) {
    return holds(rival, wants(own)) && holds(own, wants(rival));
  });
  if (crosses) world_.count("transaction: crosses another");
}

Task<bool> Workload::prepare_part(ObjectStore* store, Transaction* transaction, Halfway place, std::int64_t amount,
                                  bool* again) {
  const std::size_t number = transfers_.at(place.id).accounts[place.held];
  Result<Account> account = co_await read_account(store, number);
  if (!account) co_return false;
  const std::uint64_t version = account->version;
  account->balance += amount;
  account->transfers.insert(place.id);
  TransactionPart part;
  part.conditions.push_back(version_is(account_keys_[number], "balance", version));
  part.mutations.push_back(put(account_keys_[number], "balance", encode_account(*account)));
  part.mutations.push_back(add(account_keys_[number], "count", 1));
  Standing<Halfway> standing(halfway_, place);
  count_crossing(place);
  Result<CommitReply> reply = co_await transaction->prepare(std::move(part));
  if (reply && reply->applied) {
    acknowledged_one();
    co_return true;
  }
  *again = true;
  if (reply) {
    world_.count("transfers with a stale balance");
  } else {
    failed(reply.error());
    // Only these mean that another transaction was in the way; other errors come from nodes or the network.
    bool rival = reply.error().code == ErrorCode::aborted || reply.error().code == ErrorCode::locked;
    world_.count(rival ? "transfers that lost to a rival" : "transfers that could not be prepared");
  }
  co_return false;
}

Task<void> Workload::try_transfer(ObjectStore* store, std::uint64_t id, bool* again) {
  const std::int64_t others = static_cast<std::int64_t>(transfers_.at(id).accounts.size()) - 1;
  const std::int64_t amount = static_cast<std::int64_t>(world_.between(1, 50));
  std::unique_ptr<Transaction> transaction = store->begin(store->clock().now + options_.transfer_timeout);
  for (std::size_t held = 0; held < transfers_.at(id).accounts.size(); ++held) {
    Halfway place{id, held};
    const bool prepared =
        co_await prepare_part(store, transaction.get(), place, held == 0 ? -others * amount : amount, again);
    if (prepared) continue;
    co_await transaction->abort();
    transfers_[id].end = Transfer::End::aborted;
    co_return;
  }
  if (world_.chance(options_.abandoned)) {
    world_.count("fault: transaction left lying");
    transfers_[id].end = Transfer::End::aborted;
    co_return;
  }
  // As another thread of the same program does meanwhile.
  if (world_.chance(options_.count_reads / 2))
    co_await read_count_once(store, transfers_.at(id).accounts.back(), false);
  Status committed = co_await transaction->commit();
  if (committed) {
    transfers_[id].end = Transfer::End::committed;
    transfers_[id].ended = world_.now();
    world_.count("transfers committed");
    acknowledged_one();
    // As a program does that renames a file and looks at the directory's times.
    if (world_.chance(options_.count_reads)) co_await read_count(store, transfers_.at(id).accounts.back());
  } else if (committed.error().code == ErrorCode::aborted) {
    transfers_[id].end = Transfer::End::aborted;
    world_.count("transfers aborted");
  } else {
    failed(committed.error());
  }
}

Task<void> Workload::read_accounts(ObjectStore* store) {
  std::size_t first_number = static_cast<std::size_t>(world_.between(0, options_.accounts - 1));
  std::size_t second_number = (first_number + 1) % options_.accounts;
  TimePoint first_called = world_.now();
  Result<Account> first = co_await read_account(store, first_number);
  if (!first) co_return;
  check_known_ends(*first, first_number, first_called);
  TimePoint second_called = world_.now();
  Result<Account> second = co_await read_account(store, second_number);
  if (!second) co_return;
  check_known_ends(*second, second_number, second_called);
  // A transfer that was seen in the first account must be seen in the second one, which is read later.
  for (std::uint64_t id : first->transfers) {
    if (transfers_.at(id).touches(second_number) && !second->transfers.contains(id)) {
      world_.violate("transactions are all or nothing", "a part of transfer " + std::to_string(id) + " was visible");
    }
  }
}

Task<void> Workload::read_count(ObjectStore* store, std::size_t number) {
  co_await read_count_once(store, number, false);
  co_await store->sleep(world_.between(between_counts_low, between_counts_high));
  co_await read_count_once(store, number, world_.chance(0.5));
}

Task<void> Workload::read_count_once(ObjectStore* store, std::size_t number, bool with_balance) {
  const TimePoint called = world_.now();
  ReadRequest request;
  request.gets.push_back({account_keys_[number], "count"});
  if (with_balance) request.gets.push_back({account_keys_[number], "balance"});
  Result<ReadReply> reply = co_await store->read(std::move(request), store->clock().now + options_.operation_timeout);
  if (!reply) {
    failed(reply.error());
    co_return;
  }
  for (const ReadReply::Get& get : reply->gets) {
    if (get.found) continue;
    world_.violate("acknowledged writes survive", account_keys_[number] + " is gone");
    co_return;
  }
  acknowledged_one();
  world_.count("counts of transfers read");
  const std::int64_t count = integer_of(reply->gets[0].row.value);
  check_count(count, number, called);
  if (!with_balance) co_return;
  Reader reader(reply->gets[1].row.value.view());
  static_cast<void>(reader.i64());
  if (const std::int64_t named = reader.u32(); named != count) {
    world_.violate("transactions are all or nothing", account_keys_[number] + " counts " + std::to_string(count) +
                                                          " transfers and names " + std::to_string(named));
  }
}

// A read counts all transfers that were committed before it, at most those that may have been, and no fewer than an
// earlier read.
void Workload::check_count(std::int64_t count, std::size_t number, TimePoint called) {
  std::int64_t least = 0, most = 0;
  for (const auto& [id, made] : transfers_) {
    if (!made.touches(number) || made.end == Transfer::End::aborted) continue;
    ++most;
    if (made.end == Transfer::End::committed && made.ended < called) ++least;
  }
  std::vector<SeenCount>& seen = seen_counts_[number];
  for (auto before = seen.rbegin(); before != seen.rend(); ++before) {
    if (before->returned >= called) continue;
    least = std::max(least, before->most);
    break;
  }
  if (count < least || count > most) {
    world_.violate("linearizability of additions", account_keys_[number] + " counts " + std::to_string(count) +
                                                       " transfers, which are " + std::to_string(least) + " to " +
                                                       std::to_string(most));
  }
  seen.push_back({world_.now(), seen.empty() ? count : std::max(count, seen.back().most)});
}

void Workload::check_known_ends(const Account& account, std::size_t number, TimePoint called) {
  for (const auto& [id, made] : transfers_) {
    bool touches = made.touches(number);
    bool there = account.transfers.contains(id);
    if (there && !touches) world_.violate("transactions are all or nothing", "a transfer in a foreign account");
    if (there && made.end == Transfer::End::aborted) {
      world_.violate("transactions are all or nothing", "aborted transfer " + std::to_string(id) + " is visible");
    }
    if (touches && !there && made.end == Transfer::End::committed && made.ended < called) {
      world_.violate("transactions are all or nothing", "committed transfer " + std::to_string(id) + " is not visible");
    }
  }
}

Task<void> Workload::meet_locks(ObjectStore* store) {
  for (std::size_t i = 0; i < account_keys_.size(); ++i) {
    Result<Account> account = co_await read_account(store, i);
    static_cast<void>(account);
  }
}

}  // namespace ringfs::sim

// Operations on registers, and the checks of everything that clients heard.
#include "tests/sim/workload/workload.hpp"

#include <algorithm>

#include "dht/net/client/lock_resolver.hpp"
#include "fs/claims.hpp"
#include "tests/sim/workload/requests.hpp"

namespace ringfs::sim {

namespace {

constexpr std::size_t operations_per_register =
    70;  // then the next generation begins; less than max_history, for some are under way
constexpr std::ptrdiff_t unheard_changes_per_register = 14;  // likewise
constexpr std::int64_t first_balance = 1000;
constexpr int final_attempts = 20;
constexpr Duration clean_up_interval = std::chrono::seconds(3);

// Tries names until one lies in the partition: accounts lie in different ones.
std::string key_in(const std::string& name, PartitionId partition, unsigned partition_bits) {
  for (unsigned salt = 0;; ++salt) {
    std::string key = "kv/" + name + "/" + std::to_string(salt);
    if (partition_of(key_position(key), partition_bits) == partition) return key;
  }
}

}  // namespace

Workload::Workload(World& world, WorkloadOptions options, unsigned partition_bits)
    : world_(world), options_(options), partition_bits_(partition_bits), registers_(options.registers) {
  std::uint64_t partitions = std::uint64_t{1} << partition_bits;
  std::uint64_t first = world.between(0, partitions - 1);
  for (unsigned i = 0; i < options.accounts; ++i) {
    auto partition = static_cast<PartitionId>((first + i) % partitions);
    account_keys_.push_back(key_in("account" + std::to_string(i), partition, partition_bits));
  }
}

void Workload::failed(const Error& error) {
  world_.count("client error: " + std::string(to_string(error.code)));
  switch (error.code) {
    case ErrorCode::invalid_argument:
    case ErrorCode::too_large:
    case ErrorCode::corrupt:
    case ErrorCode::internal: world_.violate("operations that are right are not refused", error.text()); break;
    default: break;
  }
}

void Workload::acknowledged_one() {
  ++acknowledged_;
  world_.count("acknowledged operations");
}

Workload::Register& Workload::current(std::size_t number) {
  std::deque<Register>& generations = registers_[number];
  // A change without an answer may have happened at any time, or not: with too many of them the search for an order
  // takes too long.
  const auto unheard = [](const Register& object) {
    return std::count_if(object.history.begin(), object.history.end(), [](const RegisterOperation& operation) {
      return operation.returned == never && operation.kind != RegisterOperation::Kind::read;
    });
  };
  if (generations.empty() || generations.back().history.size() >= operations_per_register ||
      unheard(generations.back()) >= unheard_changes_per_register) {
    Register fresh;
    fresh.key = "kv/register" + std::to_string(number) + "/" + std::to_string(generations.size());
    generations.push_back(std::move(fresh));
  }
  return generations.back();
}

Task<bool> Workload::set_up(ObjectStore* store) {
  for (const std::string& key : account_keys_) {
    bool there = false;
    for (int attempt = 0; attempt < final_attempts && !there; ++attempt) {
      CommitRequest request;
      request.conditions.push_back(version_is(key, "balance", 0));
      Account account;
      account.balance = first_balance;
      request.mutations.push_back(put(key, "balance", encode_account(account)));
      request.mutations.push_back(put(key, "count", integer(0)));
      Result<CommitReply> reply =
          co_await store->commit(std::move(request), store->clock().now + options_.operation_timeout);
      if (!reply) failed(reply.error());
      there = reply.has_value();
    }
    if (!there) co_return false;
  }
  co_return true;
}

Task<void> Workload::work(ObjectStore* store) {
  while (!stopped_) {
    co_await store->sleep(world_.between(options_.think_low, options_.think_high));
    if (stopped_) break;
    if (world_.chance(options_.transfers)) {
      co_await transfer(store);
    } else if (world_.chance(options_.account_reads)) {
      if (world_.chance(options_.count_reads)) {
        co_await read_count(store, static_cast<std::size_t>(world_.between(0, options_.accounts - 1)));
      } else {
        co_await read_accounts(store);
      }
    } else {
      co_await register_operation(store);
    }
  }
}

Task<void> Workload::clean_up(dht::PartitionedStore* store) {
  fs::Claims claims;
  std::map<PartitionId, dht::RecordsPlace> places;
  for (std::uint32_t next = 0; !stopped_; ++next) {
    co_await store->sleep(clean_up_interval);
    auto partition = static_cast<PartitionId>(next % (1u << partition_bits_));
    const TimePoint deadline = store->clock().now + options_.operation_timeout;
    Result<RowAges> ages = co_await claims.claim(*store, partition, deadline);
    if (!ages) continue;
    Result<dht::RecordsReport> finished =
        co_await dht::finish_records(*store, partition, &places[partition], *ages, deadline);
    const std::size_t seen = finished ? finished->seen : 0;
    for (std::size_t record = 0; record < seen; ++record) world_.count("transaction: record or part looked after");
  }
}

Task<void> Workload::register_operation(ObjectStore* store) {
  Register* object = &current(static_cast<std::size_t>(world_.between(0, options_.registers - 1)));
  bool answered = false;
  if (world_.chance(0.4)) {
    co_await read_register(store, object, &answered);
  } else {
    co_await change_register(store, object);
  }
}

Task<void> Workload::read_register(ObjectStore* store, Register* object, bool* answered) {
  std::size_t number = object->history.size();
  object->history.push_back({RegisterOperation::Kind::read, {}, 0, world_.now(), never, true, {}});
  ReadRequest request;
  request.gets.push_back({object->key, "v"});
  request.gets.push_back({object->key, "copy"});
  Result<ReadReply> reply = co_await store->read(std::move(request), store->clock().now + options_.operation_timeout);
  if (!reply) {
    failed(reply.error());
    co_return;
  }
  const ReadReply::Get& value = reply->gets[0];
  const ReadReply::Get& copy = reply->gets[1];
  if (value.found != copy.found || (value.found && value.row.value != copy.row.value)) {
    world_.violate("batches are atomic", object->key + ": two rows that are written together differ");
  }
  RegisterOperation& operation = object->history[number];
  operation.returned = world_.now();
  if (value.found) operation.seen = {true, integer_of(value.row.value)};
  object->seen = operation.seen;
  object->seen_version = value.found ? value.row.version : 0;
  *answered = true;
  acknowledged_one();
}

CommitRequest Workload::request_for(const Register& object, const RegisterOperation& operation) {
  using Kind = RegisterOperation::Kind;
  CommitRequest request;
  if (operation.kind == Kind::compare_and_set) {
    if (object.seen_version != 0 && world_.chance(0.5)) {
      request.conditions.push_back(version_is(object.key, "v", object.seen_version));
    } else {
      Condition condition;
      condition.kind = operation.expected.present ? Condition::Kind::value_equals : Condition::Kind::absent;
      condition.row = {object.key, "v"};
      if (operation.expected.present) condition.value = integer(operation.expected.value);
      request.conditions.push_back(std::move(condition));
    }
  }
  switch (operation.kind) {
    case Kind::read: break;
    case Kind::write:
    case Kind::compare_and_set:
      for (const char* row : {"v", "copy"})
        request.mutations.push_back(put(object.key, row, integer(operation.argument)));
      if (world_.chance(options_.large_values)) {
        std::string large(options_.large_value_bytes, static_cast<char>('a' + operation.argument % 26));
        request.mutations.push_back(put(object.key, "large", SharedBytes(std::move(large))));
      }
      break;
    case Kind::erase: {
      Mutation mutation;
      mutation.kind = Mutation::Kind::erase_prefix;
      mutation.row = {object.key, ""};
      request.mutations.push_back(std::move(mutation));
      break;
    }
    case Kind::add:
      for (const char* row : {"v", "copy"}) request.mutations.push_back(add(object.key, row, operation.argument));
      if (world_.chance(options_.patches)) {
        Mutation patch;
        patch.kind = Mutation::Kind::write_bytes;
        patch.row = {object.key, "large"};
        patch.offset = static_cast<std::uint32_t>(world_.between(0, payload_threshold / 2));
        patch.value = integer(operation.argument);
        request.mutations.push_back(std::move(patch));
      }
      break;
  }
  return request;
}

Task<void> Workload::change_register(ObjectStore* store, Register* object) {
  using Kind = RegisterOperation::Kind;
  RegisterOperation operation;
  std::uint64_t die = world_.between(0, 99);
  operation.kind = die < 35 ? Kind::compare_and_set : die < 70 ? Kind::write : die < 90 ? Kind::add : Kind::erase;
  // Every value is written once, so that a read tells which write it saw. Additions stay below the distance between two
  // values.
  operation.argument =
      operation.kind == Kind::add ? static_cast<std::int64_t>(world_.between(1, 9)) : 1000 * next_value_++;
  operation.expected = object->seen;
  operation.called = world_.now();
  std::size_t number = object->history.size();
  object->history.push_back(operation);
  CommitRequest request = request_for(*object, operation);
  Result<CommitReply> reply =
      co_await store->commit(std::move(request), store->clock().now + options_.operation_timeout);
  if (!reply) {
    failed(reply.error());
    // The only error of a batch that says for certain that nothing happened: a read without an answer takes its place
    // in the history.
    if (reply.error().code == ErrorCode::no_space) object->history[number].kind = Kind::read;
    co_return;
  }
  RegisterOperation& ended = object->history[number];
  ended.returned = world_.now();
  ended.applied = reply->applied;
  if (reply->applied && (ended.kind == Kind::compare_and_set || ended.kind == Kind::write)) {
    object->seen = {true, ended.argument};
    object->seen_version = reply->version;
  }
  if (!reply->applied) world_.count("conditions that did not hold");
  if (!reply->applied && ended.kind != Kind::compare_and_set) {
    world_.violate("operations that are right are not refused", "a batch without conditions was not applied");
  }
  acknowledged_one();
}

Task<bool> Workload::read_everything(ObjectStore* store) {
  for (std::deque<Register>& generations : registers_) {
    for (Register& object : generations) {
      bool answered = false;
      for (int attempt = 0; attempt < final_attempts && !answered; ++attempt) {
        if (object.history.size() + 1 >= max_history)
          object.history.pop_back();  // only reads without an answer come here again
        co_await read_register(store, &object, &answered);
      }
      if (!answered) co_return false;
    }
  }
  for (std::size_t i = 0; i < account_keys_.size(); ++i) {
    bool answered = false;
    for (int attempt = 0; attempt < final_attempts && !answered; ++attempt) {
      TimePoint called = world_.now();
      Result<Account> account = co_await read_account(store, i);
      if (!account) continue;
      check_known_ends(*account, i, called);
      ReadRequest request;
      request.gets.push_back({account_keys_[i], "count"});
      Result<ReadReply> count =
          co_await store->read(std::move(request), store->clock().now + options_.operation_timeout);
      if (!count || !count->gets[0].found) continue;
      answered = true;
      final_accounts_.push_back(*account);
      final_counts_.push_back(integer_of(count->gets[0].row.value));
    }
    if (!answered) co_return false;
  }
  co_return true;
}

void Workload::check() {
  std::int64_t sum = 0;
  for (std::size_t i = 0; i < final_accounts_.size(); ++i) {
    sum += final_accounts_[i].balance;
    if (static_cast<std::size_t>(final_counts_[i]) != final_accounts_[i].transfers.size()) {
      world_.violate("transactions are all or nothing", account_keys_[i] + " counts " +
                                                            std::to_string(final_counts_[i]) + " transfers and names " +
                                                            std::to_string(final_accounts_[i].transfers.size()));
    }
  }
  if (sum != first_balance * static_cast<std::int64_t>(final_accounts_.size())) {
    world_.violate("transactions are all or nothing", "the accounts add up to " + std::to_string(sum));
  }
  for (const auto& [id, made] : transfers_) {
    auto contains = [&, number = id](std::size_t account) {
      return final_accounts_[account].transfers.contains(number);
    };
    auto in = std::count_if(made.accounts.begin(), made.accounts.end(), contains);
    if (in != 0 && static_cast<std::size_t>(in) != made.accounts.size()) {
      world_.violate("transactions are all or nothing", "a part of transfer " + std::to_string(id) + " happened");
    }
  }
  for (const std::deque<Register>& generations : registers_) {
    for (const Register& object : generations) {
      world_.count("histories checked");
      Verdict verdict = sim::check({object.history.begin(), object.history.end()});
      if (verdict == Verdict::undecided) {
        world_.violate("histories are decided", object.key + ": too hard to decide\n" + describe(object.key));
      }
      if (verdict == Verdict::not_linearizable) {
        world_.violate("linearizability", object.key + "\n" + describe(object.key));
      }
    }
  }
}

std::string Workload::describe(const std::string& key) const {
  std::string text;
  for (const std::deque<Register>& generations : registers_) {
    for (const Register& object : generations) {
      if (object.key != key) continue;
      for (const RegisterOperation& operation : object.history) text += "  " + to_text(operation) + "\n";
    }
  }
  return text;
}

}  // namespace ringfs::sim

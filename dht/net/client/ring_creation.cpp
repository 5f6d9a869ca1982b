// Asking the first nodes for their state, then giving all of them the genesis record.
#include "dht/net/client/ring_creation.hpp"

#include <algorithm>
#include <set>

#include "dht/core/members/placement.hpp"
#include "dht/net/client/run_all.hpp"

namespace ringfs::dht {
namespace {

constexpr Duration retry_pause = std::chrono::milliseconds(50);  // of a node that has just started to listen

tl::unexpected<Error> fail_at(const std::string& address, const Error& error) {
  return fail(error.code,
              "node " + address + ": " + (error.context.empty() ? std::string(to_string(error.code)) : error.context));
}

// Asks until it answers: unreachable and unavailable are tried again before the deadline.
Task<Result<Answer>> ask(ClientTransport* transport, std::string address, Uuid expected, Operation operation,
                         TimePoint deadline) {
  for (;;) {
    OperationResult result = co_await transport->call(address, expected, operation, deadline);
    if (result) co_return std::move(*result);
    const Error error = result.error().error;
    const bool again = not_reached(error.code) || error.code == ErrorCode::unavailable;
    if (!again || transport->now() + retry_pause >= deadline) co_return fail_at(address, error);
    co_await transport->sleep(retry_pause);
  }
}

Task<void> ask_into(Result<Answer>* slot, ClientTransport* transport, std::string address, Uuid expected,
                    Operation operation, TimePoint deadline) {
  *slot = co_await ask(transport, std::move(address), expected, std::move(operation), deadline);
}

// One question to every node at once; answers in the order of the nodes. `expected` is empty or as long as `addresses`.
Task<std::vector<Result<Answer>>> ask_all(ClientTransport* transport, std::vector<std::string> addresses,
                                          std::vector<Uuid> expected, Operation operation, TimePoint deadline) {
  std::vector<Result<Answer>> answers(addresses.size(), fail(ErrorCode::internal));
  std::vector<Task<void>> questions;
  for (std::size_t i = 0; i < addresses.size(); ++i) {
    questions.push_back(
        ask_into(&answers[i], transport, addresses[i], expected.empty() ? Uuid{} : expected[i], operation, deadline));
  }
  co_await run_all(std::move(questions));
  co_return answers;
}

std::vector<std::string> addresses_of(const std::vector<FirstNode>& nodes) {
  std::vector<std::string> addresses;
  addresses.reserve(nodes.size());
  for (const FirstNode& node : nodes) addresses.push_back(node.address);
  return addresses;
}

// The ring that some of the nodes have been made for already, if it is exactly theirs.
Task<Result<std::optional<Genesis>>> existing_genesis(ClientTransport* transport, std::vector<FirstNode> nodes,
                                                      std::vector<NodeStatus> statuses, CreationOptions options,
                                                      TimePoint deadline) {
  std::optional<std::size_t> holder;
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    if (!statuses[i].ring) continue;
    if ((holder && statuses[*holder].ring != statuses[i].ring) || (options.ring && statuses[i].ring != options.ring)) {
      co_return fail(ErrorCode::already_member,
                     "node " + nodes[i].address + " belongs to the ring " + statuses[i].ring->text());
    }
    holder = i;
  }
  if (!holder) co_return std::optional<Genesis>();
  const std::string address = nodes[*holder].address;
  Operation question = TableOperation{};
  Result<Answer> answer = co_await ask(transport, address, statuses[*holder].node, std::move(question), deadline);
  if (!answer) co_return tl::unexpected<Error>(answer.error());
  const auto* table = std::get_if<TableAnswer>(&*answer);
  if (table == nullptr || !table->genesis)
    co_return fail(ErrorCode::corrupt, "node " + address + " gives no genesis record");
  std::set<Uuid> first, asked;
  for (const Member& member : table->genesis->first_table.members) first.insert(member.id);
  for (const NodeStatus& status : statuses) asked.insert(status.node);
  if (first != asked) {
    co_return fail(ErrorCode::already_member, "node " + address + " belongs to the ring " +
                                                  table->genesis->ring.text() + ", which was created with other nodes");
  }
  co_return table->genesis;
}

}  // namespace

Result<Genesis> make_genesis(const std::vector<FirstNode>& nodes, const std::vector<Uuid>& ids,
                             const CreationOptions& options, Random& random) {
  RINGFS_CHECK(nodes.size() == ids.size());
  if (nodes.empty()) return fail(ErrorCode::invalid_argument, "a ring needs at least one node");
  if (nodes.size() > max_members) return fail(ErrorCode::invalid_argument, "a ring has at most 1000 nodes");
  if (options.partition_bits > 16) return fail(ErrorCode::invalid_argument, "a ring has at most 65536 partitions");
  if (options.replication < 1 || options.replication > max_replication) {
    return fail(ErrorCode::invalid_argument, "the replication is a number from 1 to 7");
  }
  if (std::set<Uuid>(ids.begin(), ids.end()).size() != ids.size()) {
    return fail(ErrorCode::invalid_argument, "the same node was named twice");
  }
  Genesis genesis;
  genesis.ring = options.ring ? *options.ring : random_uuid(random);
  genesis.partition_bits = options.partition_bits;
  genesis.first_table.version = 1;
  genesis.first_table.settings["replication"] = std::to_string(options.replication);
  std::map<Uuid, std::vector<Position>> tokens =
      allocate_first_tokens(ids, options.partition_bits, options.replication);
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    Member member;
    member.id = ids[i];
    member.address = nodes[i].address;
    member.rest_address = nodes[i].rest_address;
    member.state = MemberState::up;
    member.tokens = tokens[ids[i]];
    genesis.first_table.members.push_back(std::move(member));
  }
  std::sort(genesis.first_table.members.begin(), genesis.first_table.members.end(),
            [](const Member& left, const Member& right) { return left.id < right.id; });
  const Status valid = validate(genesis);
  if (!valid) return tl::unexpected<Error>(valid.error());
  return genesis;
}

Task<Result<CreationReport>> create_ring(ClientTransport& transport, std::vector<FirstNode> nodes,
                                         CreationOptions options, TimePoint deadline) {
  if (nodes.empty()) co_return fail(ErrorCode::invalid_argument, "a ring needs at least one node");
  if (nodes.size() > max_members) co_return fail(ErrorCode::invalid_argument, "a ring has at most 1000 nodes");
  const std::vector<std::string> addresses = addresses_of(nodes);
  Operation question = StatusOperation{};
  const std::vector<Result<Answer>> answers =
      co_await ask_all(&transport, addresses, std::vector<Uuid>(), std::move(question), deadline);
  std::vector<NodeStatus> statuses;
  std::vector<Uuid> ids;
  for (std::size_t i = 0; i < answers.size(); ++i) {
    if (!answers[i]) co_return tl::unexpected<Error>(answers[i].error());
    const auto* status = std::get_if<NodeStatus>(&*answers[i]);
    if (status == nullptr) co_return fail(ErrorCode::corrupt, "node " + addresses[i] + " gives no status");
    const auto same = std::find(ids.begin(), ids.end(), status->node);
    if (same != ids.end()) {
      co_return fail(ErrorCode::invalid_argument, addresses[static_cast<std::size_t>(same - ids.begin())] + " and " +
                                                      addresses[i] + " are the same node " + status->node.text());
    }
    ids.push_back(status->node);
    statuses.push_back(*status);
  }

  Result<std::optional<Genesis>> existing = co_await existing_genesis(&transport, nodes, statuses, options, deadline);
  if (!existing) co_return tl::unexpected<Error>(existing.error());
  CreationReport report;
  if (*existing) {
    report.genesis = **existing;
    report.existed =
        std::all_of(statuses.begin(), statuses.end(), [](const NodeStatus& status) { return status.ring.has_value(); });
  } else {
    Result<Genesis> made = make_genesis(nodes, ids, options, transport.random());
    if (!made) co_return tl::unexpected<Error>(made.error());
    report.genesis = std::move(*made);
  }
  if (report.existed) co_return report;

  Operation creation = CreateOperation{report.genesis};
  const std::vector<Result<Answer>> created =
      co_await ask_all(&transport, addresses, ids, std::move(creation), deadline);
  for (const Result<Answer>& answer : created) {
    if (!answer) co_return tl::unexpected<Error>(answer.error());
  }
  co_return report;
}

}  // namespace ringfs::dht

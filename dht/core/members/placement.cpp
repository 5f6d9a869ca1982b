// The preference lists of all partitions, from the tokens of the members.
#include "dht/core/members/placement.hpp"

#include <algorithm>
#include <utility>

#include "dht/core/members/placed_members.hpp"

namespace ringfs::dht {

namespace {

struct Token {
  Position position;
  Uuid node;
  friend auto operator<=>(const Token&, const Token&) = default;
};

std::vector<Token> sorted_tokens(const MembersTable& table) {
  std::vector<Token> tokens;
  for (const Member& member : table.members) {
    if (!is_placed(member)) continue;
    for (const Position& token : member.tokens) tokens.push_back({token, member.id});
  }
  std::sort(tokens.begin(), tokens.end());  // equal positions, should they ever be committed: the lower uuid first
  return tokens;
}

// `nodes` was the list of the next token clockwise; now it is that of a token of `node`.
void step_back(std::vector<Uuid>& nodes, const Uuid& node, std::size_t limit) {
  auto found = std::find(nodes.begin(), nodes.end(), node);
  if (found == nodes.end()) {
    if (nodes.size() == limit) nodes.pop_back();
    nodes.insert(nodes.begin(), node);
  } else {
    std::rotate(nodes.begin(), found, found + 1);
  }
}

}  // namespace

Placement::Placement(const MembersTable& table, unsigned partition_bits) {
  std::size_t partitions = std::size_t{1} << partition_bits;
  lists_.resize(partitions);
  std::vector<Token> tokens = sorted_tokens(table);
  if (tokens.empty()) return;
  std::size_t limit = table.replication();
  std::vector<Uuid> nodes;
  // Once around backwards to know the first token's list, once more to hand the lists out.
  for (auto token = tokens.rbegin(); token != tokens.rend(); ++token) step_back(nodes, token->node, limit);
  std::size_t next = tokens.size();
  for (std::size_t partition = partitions; partition-- > 0;) {
    Position anchor = anchor_of(PartitionId{static_cast<std::uint32_t>(partition)}, partition_bits);
    while (next > 0 && tokens[next - 1].position >= anchor) {
      --next;
      step_back(nodes, tokens[next].node, limit);
    }
    lists_[partition] = nodes;
  }
}

const std::vector<Uuid>& Placement::preference_list(PartitionId partition) const {
  static const std::vector<Uuid> none;  // a peer may name a partition that does not exist
  return index_of(partition) < lists_.size() ? lists_[index_of(partition)] : none;
}

Placement::Balance Placement::balance() const {
  struct Load {
    std::size_t primaries = 0;
    std::size_t replicas = 0;
  };
  std::map<Uuid, Load> loads;
  for (const std::vector<Uuid>& list : lists_) {
    if (!list.empty()) ++loads[list.front()].primaries;
    for (const Uuid& node : list) ++loads[node].replicas;
  }
  Load largest;
  Load sum;
  for (const auto& [node, load] : loads) {
    largest.primaries = std::max(largest.primaries, load.primaries);
    largest.replicas = std::max(largest.replicas, load.replicas);
    sum.primaries += load.primaries;
    sum.replicas += load.replicas;
  }
  if (loads.empty()) return {};
  auto nodes = static_cast<double>(loads.size());
  return {static_cast<double>(largest.primaries) * nodes / static_cast<double>(sum.primaries),
          static_cast<double>(largest.replicas) * nodes / static_cast<double>(sum.replicas)};
}

}  // namespace ringfs::dht

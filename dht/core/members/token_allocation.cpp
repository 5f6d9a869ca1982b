// Token allocation (docs/design.md#tokens). Both functions are deterministic: the same input gives the
// same tokens on every node and in every run.
//
// At most half of the anchors are given away as long as there are two for every node, so that nodes can join later
// without moving anybody's tokens.
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>
#include <optional>
#include <set>

#include "dht/base/error.hpp"
#include "dht/base/random.hpp"
#include "dht/core/members/placed_members.hpp"
#include "dht/core/members/placement.hpp"
#include "dht/core/members/token_circle.hpp"

namespace ringfs::dht {

namespace {

constexpr std::size_t most_trials = 64;           // of a first allocation; more gain nothing measurable
constexpr std::size_t trial_budget = 40'000'000;  // steps of all trials together: well below a second
constexpr unsigned refinements = 4;               // rounds of moving a joining node's tokens one by one
constexpr std::size_t reserve_for_later = 4;      // a joining node takes at most this fraction of the free anchors
constexpr std::size_t most_candidates = 4096;     // anchors tried for one token; a stride passes over the others

// ---- Creation -------------------------------------------------------------------------------------

// Who owns the first, second, third ... token clockwise, as indices of nodes: one permutation a round.
using Owners = std::vector<std::size_t>;

// Builds one candidate. Each round is a permutation of the nodes; inside it, each next node is one that is not
// among the last `replication` tokens (so that every run of r tokens names r nodes) and that has followed the tokens
// before it the fewest times (so that a dead node's load falls on many).
class Interleaving {
 public:
  Interleaving(std::size_t nodes, std::size_t rounds, std::size_t replication)
      : nodes_(nodes), rounds_(rounds), window_(std::min(replication, nodes - 1)), followed_(nodes * nodes, 0) {}

  Owners draw(Random& random) {
    std::fill(followed_.begin(), followed_.end(), std::uint16_t{0});
    Owners owners;
    owners.reserve(nodes_ * rounds_);
    std::vector<std::size_t> left;
    for (std::size_t round = 0; round < rounds_; ++round) {
      left.resize(nodes_);
      std::iota(left.begin(), left.end(), std::size_t{0});
      for (std::size_t i = nodes_; i > 1; --i) std::swap(left[i - 1], left[random.below(i)]);
      while (!left.empty()) {
        std::size_t chosen = best_of(left, owners);
        std::size_t owner = left[chosen];
        left[chosen] = left.back();
        left.pop_back();
        for (std::size_t back = 1; back <= std::min(window_, owners.size()); ++back) {
          ++followed_[owners[owners.size() - back] * nodes_ + owner];
        }
        owners.push_back(owner);
      }
    }
    return owners;
  }

 private:
  std::size_t best_of(const std::vector<std::size_t>& left, const Owners& owners) const {
    std::size_t best = 0;
    std::size_t best_cost = std::numeric_limits<std::size_t>::max();
    std::size_t last_round = owners.size() + window_ >= nodes_ * rounds_ ? window_ : 0;
    for (std::size_t i = 0; i < left.size(); ++i) {
      std::size_t cost = 0;
      for (std::size_t back = 1; back <= std::min(window_, owners.size()); ++back) {
        std::size_t before = owners[owners.size() - back];
        if (before == left[i]) cost += 1'000'000 / back;
        cost += std::size_t{followed_[before * nodes_ + left[i]]} * (back == 1 ? 8 : 1);
      }
      // The circle closes: the last tokens stand before the first ones.
      for (std::size_t ahead = 0; ahead < last_round && ahead < owners.size(); ++ahead) {
        std::size_t distance = nodes_ * rounds_ - owners.size() + ahead;
        if (distance <= window_ && owners[ahead] == left[i]) cost += 1'000'000 / distance;
      }
      if (cost < best_cost) {
        best_cost = cost;
        best = i;
      }
    }
    return best;
  }

  std::size_t nodes_;
  std::size_t rounds_;
  std::size_t window_;
  std::vector<std::uint16_t> followed_;  // [before * nodes + after]
};

// Token j of m sits on anchor floor(j * P / m).
std::size_t spread_anchor(std::size_t token, std::size_t tokens, std::size_t partitions) {
  return token * partitions / tokens;
}

// What a candidate is worth: largest number of replicas, of primaries, then the most that one node inherits as
// primary from one that dies. Lower is better.
std::array<std::size_t, 3> score(const Owners& owners, std::size_t nodes, std::size_t partitions,
                                 std::size_t replication) {
  std::size_t tokens = owners.size();
  std::size_t limit = std::min(replication, nodes);
  std::vector<std::size_t> primaries(nodes, 0);
  std::vector<std::size_t> replicas(nodes, 0);
  std::map<std::pair<std::size_t, std::size_t>, std::size_t> recipients;
  for (std::size_t token = 0; token < tokens; ++token) {
    // The arc that ends at this token holds the anchors behind the token before it.
    std::size_t before = token == 0 ? spread_anchor(tokens - 1, tokens, partitions) : 0;
    std::size_t arc = token == 0
                          ? partitions - before
                          : spread_anchor(token, tokens, partitions) - spread_anchor(token - 1, tokens, partitions);
    std::array<std::size_t, most_replication + 1> list{};
    std::size_t found = 0;
    for (std::size_t step = 0; step < tokens && found < std::min(std::max<std::size_t>(limit, 2), nodes); ++step) {
      std::size_t owner = owners[(token + step) % tokens];
      auto end = list.begin() + static_cast<std::ptrdiff_t>(found);
      if (std::find(list.begin(), end, owner) == end) list[found++] = owner;
    }
    primaries[list[0]] += arc;
    for (std::size_t i = 0; i < std::min(found, limit); ++i) replicas[list[i]] += arc;
    if (found > 1) recipients[{list[0], list[1]}] += arc;
  }
  std::size_t inherited = 0;
  for (const auto& [pair, arc] : recipients) inherited = std::max(inherited, arc);
  return {*std::max_element(replicas.begin(), replicas.end()), *std::max_element(primaries.begin(), primaries.end()),
          inherited};
}

std::size_t first_tokens_per_node(std::size_t nodes, std::size_t partitions, std::size_t wanted) {
  return std::clamp<std::size_t>(partitions / (2 * nodes), 1, std::max<std::size_t>(wanted, 1));
}

Position anchor_position(std::size_t anchor, unsigned partition_bits) {
  return anchor_of(PartitionId{static_cast<std::uint32_t>(anchor)}, partition_bits);
}

}  // namespace

std::map<Uuid, std::vector<Position>> allocate_first_tokens(const std::vector<Uuid>& nodes, unsigned partition_bits,
                                                            unsigned replication, unsigned tokens_per_node) {
  std::set<Uuid> all(nodes.begin(), nodes.end());
  std::map<Uuid, std::vector<Position>> result;
  for (const Uuid& node : all) result[node];
  if (all.empty()) return result;
  std::size_t partitions = std::size_t{1} << partition_bits;
  // More nodes than anchors: the last ones get none, hold no data and route for nobody.
  std::vector<Uuid> holders(all.begin(), all.end());
  if (holders.size() > partitions) holders.resize(partitions);
  std::size_t count = holders.size();
  std::size_t rounds =
      first_tokens_per_node(count, partitions, std::min<std::size_t>(tokens_per_node, max_tokens_per_member));
  std::size_t wanted = std::clamp<std::size_t>(replication, 1, most_replication);

  Owners best(count * rounds, 0);
  if (count > 1) {
    SeededRandom random(0x72696e676673);  // any constant: it only has to be the same everywhere
    Interleaving interleaving(count, rounds, wanted);
    std::size_t steps = count * rounds * count * wanted;
    std::size_t trials = std::clamp<std::size_t>(trial_budget / steps, 1, most_trials);
    auto best_score = std::array<std::size_t, 3>{};
    for (std::size_t trial = 0; trial < trials; ++trial) {
      Owners owners = interleaving.draw(random);
      auto its_score = score(owners, count, partitions, wanted);
      if (trial == 0 || its_score < best_score) {
        best_score = its_score;
        best = std::move(owners);
      }
    }
  }
  for (std::size_t token = 0; token < best.size(); ++token) {
    std::size_t anchor = spread_anchor(token, best.size(), partitions);
    result[holders[best[token]]].push_back(anchor_position(anchor, partition_bits));
  }
  return result;
}

// ---- Joining --------------------------------------------------------------------------------------

namespace {

struct Standing {
  std::vector<TokenCircle::Token> tokens;  // of the nodes that hold data
  std::set<std::size_t> taken;             // anchors of every member that is not removed: a dead one may come back
  std::size_t nodes = 0;
};

Standing standing_of(const MembersTable& table, const Uuid& joining, unsigned partition_bits) {
  Standing standing;
  for (const Member& member : table.members) {
    if (member.id == joining || member.state == MemberState::removed) continue;
    const bool placed = is_placed(member);
    for (const Position& token : member.tokens) {
      std::size_t anchor = index_of(partition_of(token, partition_bits));
      bool is_new = standing.taken.insert(anchor).second;
      if (placed && is_new) standing.tokens.push_back({anchor, standing.nodes});
    }
    if (placed && !member.tokens.empty()) ++standing.nodes;
  }
  return standing;
}

class Joining {
 public:
  Joining(Standing standing, std::size_t partitions, std::size_t replication)
      : standing_(std::move(standing)), partitions_(partitions), replication_(std::min(replication, standing_.nodes)) {}

  std::set<std::size_t> choose(std::size_t count) {
    std::set<std::size_t> chosen;
    while (chosen.size() < count) chosen.insert(best_anchor(chosen));
    for (unsigned round = 0; round < refinements; ++round) {
      bool moved = false;
      for (std::size_t anchor : std::vector<std::size_t>(chosen.begin(), chosen.end())) {
        chosen.erase(anchor);
        std::size_t better = best_anchor(chosen, anchor);
        moved = moved || better != anchor;
        chosen.insert(better);
      }
      if (!moved) break;
    }
    return chosen;
  }

 private:
  // The cheapest free anchor; `current` keeps its place unless another is really cheaper.
  std::size_t best_anchor(const std::set<std::size_t>& chosen, std::optional<std::size_t> current = {}) const {
    std::vector<TokenCircle::Token> tokens = standing_.tokens;
    for (std::size_t anchor : chosen) tokens.push_back({anchor, standing_.nodes});
    TokenCircle circle(std::move(tokens), standing_.nodes + 1, partitions_, replication_);
    std::size_t best = current.value_or(partitions_);
    double best_cost = current ? circle.cost_with({*current, standing_.nodes}) - 1e-9 : 0;
    std::size_t stride = std::max<std::size_t>(partitions_ / most_candidates, 1);
    for (std::size_t tried = 0; tried < partitions_; tried += stride) {
      std::optional<std::size_t> open = first_open(tried, std::min(tried + stride, partitions_), chosen);
      if (!open) continue;
      std::size_t anchor = *open;
      double cost = circle.cost_with({anchor, standing_.nodes});
      if (best == partitions_ || cost < best_cost) {
        best = anchor;
        best_cost = cost;
      }
    }
    return best;
  }

  std::optional<std::size_t> first_open(std::size_t from, std::size_t end, const std::set<std::size_t>& chosen) const {
    for (std::size_t anchor = from; anchor < end; ++anchor) {
      if (!standing_.taken.contains(anchor) && !chosen.contains(anchor)) return anchor;
    }
    return {};
  }

  Standing standing_;
  std::size_t partitions_;
  std::size_t replication_;
};

}  // namespace

std::vector<Position> allocate_tokens(const MembersTable& table, const Uuid& joining, unsigned partition_bits,
                                      unsigned tokens_per_node) {
  std::size_t wanted = std::min<std::size_t>(tokens_per_node, max_tokens_per_member);
  Standing standing = standing_of(table, joining, partition_bits);
  std::size_t partitions = std::size_t{1} << partition_bits;
  std::size_t free = partitions - standing.taken.size();
  if (free == 0) return {};
  if (standing.nodes == 0 && standing.taken.empty()) {
    return allocate_first_tokens({joining}, partition_bits, table.replication(), tokens_per_node)[joining];
  }
  std::size_t fair = first_tokens_per_node(standing.nodes + 1, partitions, wanted);
  std::size_t count = std::min(fair, std::max<std::size_t>(free / reserve_for_later, 1));
  std::set<std::size_t> anchors;
  if (standing.nodes == 0) {  // nobody holds data, but some anchors are taken: the free ones in even steps
    std::vector<std::size_t> open;
    for (std::size_t anchor = 0; anchor < partitions; ++anchor) {
      if (!standing.taken.contains(anchor)) open.push_back(anchor);
    }
    for (std::size_t token = 0; token < count; ++token) anchors.insert(open[token * open.size() / count]);
  } else {
    anchors = Joining(std::move(standing), partitions, table.replication()).choose(count);
  }
  std::vector<Position> result;
  result.reserve(anchors.size());
  for (std::size_t anchor : anchors) result.push_back(anchor_position(anchor, partition_bits));
  return result;
}

// ---- Leaving --------------------------------------------------------------------------------------

namespace {

// Gives the tokens of a node that leaves to the others, each to whom it makes the loads most even.
class Leaving {
 public:
  Leaving(Standing standing, std::size_t partitions, std::size_t replication)
      : standing_(std::move(standing)), partitions_(partitions), replication_(std::min(replication, standing_.nodes)) {}

  // The new owner of each anchor, as an index of the nodes that hold data.
  std::map<std::size_t, std::size_t> give(const std::vector<std::size_t>& anchors) {
    std::map<std::size_t, std::size_t> given;
    for (unsigned round = 0; round <= refinements; ++round) {
      bool moved = false;
      for (std::size_t anchor : anchors) {
        auto before = given.extract(anchor);
        std::size_t owner = best_owner(given, anchor);
        moved = moved || before.empty() || before.mapped() != owner;
        given[anchor] = owner;
      }
      if (!moved) break;
    }
    return given;
  }

 private:
  std::size_t best_owner(const std::map<std::size_t, std::size_t>& given, std::size_t anchor) const {
    std::vector<TokenCircle::Token> tokens = standing_.tokens;
    for (const auto& [other, owner] : given) tokens.push_back({other, owner});
    TokenCircle circle(std::move(tokens), standing_.nodes, partitions_, replication_);
    std::size_t best = 0;
    double best_cost = std::numeric_limits<double>::max();
    for (std::size_t node = 0; node < standing_.nodes; ++node) {
      double cost = circle.cost_with({anchor, node});
      if (cost >= best_cost) continue;
      best = node;
      best_cost = cost;
    }
    return best;
  }

  Standing standing_;
  std::size_t partitions_;
  std::size_t replication_;
};

}  // namespace

std::vector<Member> leave_members(const MembersTable& table, const Uuid& leaving, unsigned partition_bits) {
  const Member* member = table.find(leaving);
  if (member == nullptr) return {};
  std::vector<Member> changed;
  Member gone = *member;
  gone.state = MemberState::leaving;
  Standing standing = standing_of(table, leaving, partition_bits);
  std::vector<Member> recipients;  // in the order of the standing
  for (const Member& other : table.members) {
    if (other.id != leaving && is_placed(other) && !other.tokens.empty()) recipients.push_back(other);
  }
  std::vector<std::size_t> anchors;
  for (const Position& token : gone.tokens) anchors.push_back(index_of(partition_of(token, partition_bits)));
  if (!recipients.empty()) {
    gone.tokens.clear();
    for (const auto& [anchor, owner] :
         Leaving(std::move(standing), std::size_t{1} << partition_bits, table.replication()).give(anchors)) {
      std::vector<Position>& tokens = recipients[owner].tokens;
      Position token = anchor_position(anchor, partition_bits);
      if (tokens.size() < max_tokens_per_member)
        tokens.insert(std::lower_bound(tokens.begin(), tokens.end(), token), token);
    }
  }
  for (Member& recipient : recipients) {
    if (recipient != *table.find(recipient.id)) changed.push_back(std::move(recipient));
  }
  changed.push_back(std::move(gone));
  return changed;
}

}  // namespace ringfs::dht

// ringfs-routing-sim: how many nodes a lookup asks in stable rings of growing size, against the bound of
// docs/design.md#chord, log2(tokens) + 2. Exit code 1 when a lookup ends at a wrong node or asks more. RINGFS_SEED
// chooses keys and first nodes.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <vector>

#include "dht/base/random.hpp"
#include "dht/core/chord/chord.hpp"
#include "dht/core/members/placement.hpp"

namespace {

using namespace ringfs;

constexpr unsigned partition_bits = 16;
constexpr unsigned tokens_per_node = 8;
constexpr std::size_t lookups_per_ring = 4000;
constexpr unsigned most_hops = 64;

class StableRing {
 public:
  StableRing(std::size_t nodes, Random& random) {
    std::vector<Uuid> ids;
    for (std::size_t i = 0; i < nodes; ++i) ids.push_back(random_uuid(random));
    auto table = std::make_shared<dht::MembersTable>();
    table->version = 1;
    for (auto& [id, tokens] : dht::allocate_first_tokens(ids, partition_bits, 3, tokens_per_node)) {
      for (const Position& token : tokens) ring_.emplace(token, id);
      table->members.push_back({id, "", "", MemberState::up, tokens, 100, {}});
      ids_.push_back(id);
    }
    for (const dht::Member& member : table->members) {
      dht::ChordOptions options;
      options.self = member.id;
      options.tokens = member.tokens;
      auto chord = std::make_unique<dht::Chord>(options, random, TimePoint{});
      chord->set_table(table, TimePoint{});
      // Nobody answers as a member, so each node takes its pointers from the table, as in a ring that was just created.
      TimePoint later{std::chrono::seconds(10)};
      while (!chord->find(Position{}).member && chord->deadline() < later) chord->tick(chord->deadline());
      for (const dht::Member& other : table->members) chord->peer_heard(other.id);
      chord->take_messages();
      nodes_.emplace(member.id, std::move(chord));
    }
  }

  std::size_t tokens() const { return ring_.size(); }
  const Uuid& random_node(Random& random) const { return ids_[random.below(ids_.size())]; }

  // Number of nodes asked; 0 when the answer is wrong or there is none.
  unsigned lookup(const Uuid& first, const Position& position) const {
    Uuid asked = first;
    for (unsigned hops = 1; hops <= most_hops; ++hops) {
      dht::Chord::Step step = nodes_.at(asked)->find(position);
      if (!step.member) return 0;
      if (step.final) return is_owner(step.peer, position) ? hops : 0;
      asked = step.peer.node;
    }
    return 0;
  }

 private:
  bool is_owner(const dht::ChordPeer& peer, const Position& position) const {
    auto owner = ring_.lower_bound(position);
    if (owner == ring_.end()) owner = ring_.begin();
    return owner->first == peer.token && owner->second == peer.node;
  }

  std::map<Position, Uuid> ring_;
  std::vector<Uuid> ids_;
  std::map<Uuid, std::unique_ptr<dht::Chord>> nodes_;
};

struct Outcome {
  std::vector<unsigned> hops;
  std::size_t wrong = 0;
};

Outcome run(const StableRing& ring, Random& random) {
  Outcome outcome;
  for (std::size_t i = 0; i < lookups_per_ring; ++i) {
    Position position;
    for (auto& byte : position.bytes) byte = static_cast<std::uint8_t>(random.next());
    unsigned hops = ring.lookup(ring.random_node(random), position);
    if (hops == 0) ++outcome.wrong;
    outcome.hops.push_back(hops);
  }
  std::sort(outcome.hops.begin(), outcome.hops.end());
  return outcome;
}

}  // namespace

int main() {
  const char* given = std::getenv("RINGFS_SEED");
  std::uint64_t seed = given != nullptr ? std::strtoull(given, nullptr, 10) : 1;
  std::printf("seed %llu, %zu lookups a ring, hops = nodes asked\n", static_cast<unsigned long long>(seed),
              lookups_per_ring);
  std::printf("%8s %8s %8s %6s %6s %8s %8s\n", "nodes", "tokens", "mean", "95th", "max", "bound", "wrong");
  bool good = true;
  for (std::size_t nodes : {1U, 2U, 3U, 5U, 10U, 30U, 100U, 300U, 600U, 1250U}) {
    SeededRandom random(seed + nodes);
    StableRing ring(nodes, random);
    Outcome outcome = run(ring, random);
    double sum = 0;
    for (unsigned hops : outcome.hops) sum += hops;
    double bound = std::log2(static_cast<double>(ring.tokens())) + 2;
    std::printf("%8zu %8zu %8.2f %6u %6u %8.2f %8zu\n", nodes, ring.tokens(), sum / lookups_per_ring,
                outcome.hops[outcome.hops.size() * 95 / 100], outcome.hops.back(), bound, outcome.wrong);
    std::fflush(stdout);
    good = good && outcome.wrong == 0 && outcome.hops.back() <= bound;
  }
  if (!good) std::printf("FAILED: a lookup was wrong or asked more nodes than the bound\n");
  return good ? 0 : 1;
}

// What a client knows of the ring: genesis, members table (this version and the one before), where each node is, and
// which nodes did not answer lately.
//
// Threads: one loop. Limits: nodes of the table (max_members) and the bootstrap addresses. Errors: adopt():
// foreign_ring.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "dht/base/random.hpp"
#include "dht/core/members/placement.hpp"
#include "dht/core/protocol/genesis.hpp"

namespace ringfs::dht {

struct NodeAddress {
  Uuid node;  // nil: whoever answers there
  std::string address;
};

class RingDirectory {
 public:
  explicit RingDirectory(std::vector<std::string> bootstrap) : bootstrap_(std::move(bootstrap)) {}

  // The first genesis stays; a table that is not newer is ignored.
  Status adopt(const Genesis& genesis, const MembersTable& table);
  bool known() const { return genesis_.has_value(); }
  const Genesis& genesis() const { return *genesis_; }
  const MembersTable& table() const { return table_; }
  const Placement& placement() const { return placement_; }

  // Preference list of the newest table, then the other nodes that the table before it names.
  std::vector<Uuid> placed(PartitionId partition) const;
  // Members that may answer (not removed), in random order, those that are avoided last; then the bootstrap addresses.
  std::vector<NodeAddress> anybody(Random& random, TimePoint now) const;
  std::optional<std::string> address_of(const Uuid& node) const;
  // From a peer that talks to it: newer than the table's, until the table changes.
  void learn_address(const Uuid& node, const std::string& address);

  // A node that did not answer is asked last for a while. One that was silent costs a whole try's time when it is asked
  // again; one that refused the connection costs nothing.
  enum class Why { refused, silent };
  void avoid(const Uuid& node, TimePoint now, Duration how_long, Why why);
  void answered(const Uuid& node) { avoided_.erase(node); }
  bool is_avoided(const Uuid& node, TimePoint now) const;
  bool is_silent(const Uuid& node, TimePoint now) const;
  std::optional<TimePoint> last_unanswered(const Uuid& node) const;
  std::optional<TimePoint> avoided_until(const Uuid& node) const;

 private:
  struct Avoided {
    TimePoint at;  // when the last call to it ended
    TimePoint until;
    Why why{};
  };
  const std::vector<std::string> bootstrap_;
  std::optional<Genesis> genesis_;
  MembersTable table_;
  Placement placement_;
  Placement previous_placement_;
  std::map<Uuid, std::string> learnt_addresses_;
  std::map<Uuid, Avoided> avoided_;
};

}  // namespace ringfs::dht

// Newer tables, addresses, and the order in which nodes are asked.
#include "dht/net/client/ring_directory.hpp"

#include <algorithm>
#include <utility>

namespace ringfs::dht {

Status RingDirectory::adopt(const Genesis& genesis, const MembersTable& table) {
  if (genesis_ && genesis_->ring != genesis.ring) return fail(ErrorCode::foreign_ring, "a node of another ring");
  const bool first = !genesis_;
  if (first) genesis_ = genesis;
  if (!first && table.version <= table_.version) return {};
  previous_placement_ = std::move(placement_);
  table_ = table;
  placement_ = Placement(table_, genesis_->partition_bits);
  learnt_addresses_.clear();
  std::erase_if(avoided_, [&](const auto& entry) { return table_.find(entry.first) == nullptr; });
  return {};
}

std::vector<Uuid> RingDirectory::placed(PartitionId partition) const {
  std::vector<Uuid> nodes;
  for (const Placement* placement : {&placement_, &previous_placement_}) {
    if (index_of(partition) >= placement->partitions()) continue;
    for (const Uuid& node : placement->preference_list(partition)) {
      if (std::find(nodes.begin(), nodes.end(), node) == nodes.end()) nodes.push_back(node);
    }
  }
  return nodes;
}

std::vector<NodeAddress> RingDirectory::anybody(Random& random, TimePoint now) const {
  std::vector<NodeAddress> nodes;
  for (const Member& member : table_.members) {
    if (member.state != MemberState::removed) nodes.push_back({member.id, *address_of(member.id)});
  }
  for (std::size_t i = nodes.size(); i > 1; --i) std::swap(nodes[i - 1], nodes[random.below(i)]);
  std::stable_partition(nodes.begin(), nodes.end(),
                        [&](const NodeAddress& node) { return !is_avoided(node.node, now); });
  for (const std::string& address : bootstrap_) {
    auto same = [&](const NodeAddress& node) { return node.address == address; };
    if (std::none_of(nodes.begin(), nodes.end(), same)) nodes.push_back({Uuid{}, address});
  }
  return nodes;
}

std::optional<std::string> RingDirectory::address_of(const Uuid& node) const {
  auto learnt = learnt_addresses_.find(node);
  if (learnt != learnt_addresses_.end()) return learnt->second;
  const Member* member = table_.find(node);
  if (member == nullptr) return std::nullopt;
  return member->address;
}

void RingDirectory::learn_address(const Uuid& node, const std::string& address) {
  if (address.empty()) return;
  const bool room = learnt_addresses_.size() < max_members || learnt_addresses_.contains(node);
  if (room && address_of(node) != address) learnt_addresses_[node] = address;
}

void RingDirectory::avoid(const Uuid& node, TimePoint now, Duration how_long, Why why) {
  if (node.is_nil()) return;
  if (avoided_.size() >= 2 * max_members) avoided_.clear();  // uuids from hints; far more than any ring has
  avoided_[node] = Avoided{now, now + how_long, why};
}

bool RingDirectory::is_avoided(const Uuid& node, TimePoint now) const {
  auto entry = avoided_.find(node);
  return entry != avoided_.end() && entry->second.until > now;
}

bool RingDirectory::is_silent(const Uuid& node, TimePoint now) const {
  return is_avoided(node, now) && avoided_.at(node).why == Why::silent;
}

std::optional<TimePoint> RingDirectory::avoided_until(const Uuid& node) const {
  auto entry = avoided_.find(node);
  if (entry == avoided_.end()) return std::nullopt;
  return entry->second.until;
}

std::optional<TimePoint> RingDirectory::last_unanswered(const Uuid& node) const {
  auto entry = avoided_.find(node);
  if (entry == avoided_.end()) return std::nullopt;
  return entry->second.at;
}

}  // namespace ringfs::dht

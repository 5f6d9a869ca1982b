// A ring of a few numbered nodes, as genesis makes it.
#pragma once

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "dht/core/members/placement.hpp"
#include "dht/core/protocol/genesis.hpp"

namespace ringfs::dht::test {

inline Uuid node_id(unsigned number) {
  Uuid id;
  id.bytes[15] = static_cast<std::uint8_t>(number + 1);
  return id;
}

inline unsigned number_of(const Uuid& id) { return id.bytes[15] - 1U; }

inline std::string address_of(unsigned number) { return "node" + std::to_string(number) + ":1"; }

inline Genesis small_genesis(unsigned nodes, unsigned partition_bits = 2) {
  Genesis genesis;
  genesis.ring.bytes[0] = 0xaa;
  genesis.partition_bits = partition_bits;
  genesis.first_table.version = 1;
  genesis.first_table.settings["replication"] = std::to_string(std::min(nodes, 5U));
  std::vector<Uuid> ids;
  for (unsigned i = 0; i < nodes; ++i) ids.push_back(node_id(i));
  std::map<Uuid, std::vector<Position>> tokens = allocate_first_tokens(ids, partition_bits, 3, 1);
  for (unsigned i = 0; i < nodes; ++i) {
    Member member;
    member.id = node_id(i);
    member.address = address_of(i);
    member.tokens = tokens[member.id];
    genesis.first_table.members.push_back(member);
  }
  return genesis;
}

}  // namespace ringfs::dht::test

// The genesis record: what never changes in a ring. Every first node fsyncs it and refuses another one from then on
// (docs/design.md#creation). Voters of the first groups follow from first_table; nothing else ever makes a voter.
#pragma once

#include <string>

#include "dht/base/error.hpp"
#include "dht/base/time.hpp"
#include "dht/base/uuid.hpp"
#include "dht/core/protocol/members_table.hpp"

namespace ringfs::dht {

struct Timing {
  Duration heartbeat = std::chrono::milliseconds(100);
  Duration lease = std::chrono::milliseconds(400);  // L
  double lease_margin = 0.1;                        // epsilon: clock drift allowed for
  Duration election_minimum = std::chrono::milliseconds(600);
  Duration election_maximum = std::chrono::milliseconds(1200);
  Duration stabilize = std::chrono::seconds(1);
  Duration merge = std::chrono::seconds(10);
};

struct Genesis {
  Uuid ring;
  unsigned partition_bits = 8;  // P = 2^k, 0..16
  Timing timing;
  MembersTable first_table;  // version 1
};

std::string encode(const Genesis& genesis);
Result<Genesis> decode_genesis(std::string_view bytes);  // corrupt; also when timing or table make no sense
Status validate(const Genesis& genesis);

}  // namespace ringfs::dht

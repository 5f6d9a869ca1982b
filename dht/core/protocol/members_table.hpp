// The members table: the committed list of nodes, an object in the ring itself (docs/design.md#members-table).
//
// Object key members_key; rows: "m/" + 16 uuid bytes -> member, "s/" + name -> setting (text), "v" -> the
// table's version as a 64-bit big-endian integer, raised by every batch that changes any of them. The table
// travels and is kept on disk in one encoding (encode/decode). Threads: plain values.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "dht/base/error.hpp"
#include "dht/base/position.hpp"
#include "dht/base/ring/member_state.hpp"
#include "dht/base/rows.hpp"
#include "dht/base/time.hpp"
#include "dht/base/uuid.hpp"

namespace ringfs::dht {

inline constexpr std::string_view members_key = "ring/members";
inline constexpr std::size_t max_members = 1000;
inline constexpr std::size_t max_tokens_per_member = 256;

struct Member {
  Uuid id;
  std::string address;  // host:port, a hint: the node announces its current one
  std::string rest_address;
  MemberState state = MemberState::up;
  std::vector<Position> tokens;  // each on a partition's anchor; ascending
  std::uint32_t weight = 100;
  friend bool operator==(const Member&, const Member&) = default;
};

struct MembersTable {
  std::uint64_t version = 0;
  std::vector<Member> members;                  // ascending by id
  std::map<std::string, std::string> settings;  // "replication" and the other ring-wide settings

  const Member* find(const Uuid& id) const;
  // The settings (dht/base/ring/settings.hpp).
  unsigned replication() const;
  Duration replace_after() const;  // a node that does not answer for so long is dead
  // Bytes a second that a node sends to new replicas; none: no limit.
  std::optional<std::uint64_t> rebalance_rate() const;
  friend bool operator==(const MembersTable&, const MembersTable&) = default;
};

std::string encode(const MembersTable& table);
Result<MembersTable> decode_members_table(std::string_view bytes);

std::string encode(const Member& member);
Result<Member> decode_member(std::string_view bytes);

struct InitialRow {
  RowAddress row;
  std::string value;
};
InitialRow member_row(const Member& member);
InitialRow setting_row(const std::string& name, const std::string& value);
std::vector<InitialRow> rows_of(const MembersTable& table);
Result<MembersTable> table_from_rows(const std::vector<Row>& rows);  // all rows of the object, ascending

}  // namespace ringfs::dht

// The members table: the committed list of nodes, an object in the ring itself (docs/design.md#members-table).
//
// Object key members_key; rows: "m/" + 16 uuid bytes -> member, "s/" + name -> setting (text), "c/" + name -> client,
// "a/" + key hash in hexadecimal -> certificate of an authority (PEM), "v" -> the table's version as a 64-bit
// big-endian integer, raised by every batch that changes any of them. The table travels and is kept on disk in one
// encoding (encode/decode). A ring without certificates is written as format 1, which earlier programs read.
// Threads: plain values.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "dht/base/error.hpp"
#include "dht/base/key_hash.hpp"
#include "dht/base/position.hpp"
#include "dht/base/ring/access_role.hpp"
#include "dht/base/ring/member_state.hpp"
#include "dht/base/rows.hpp"
#include "dht/base/time.hpp"
#include "dht/base/uuid.hpp"

namespace ringfs::dht {

inline constexpr std::string_view members_key = "ring/members";
inline constexpr std::size_t max_members = 1000;
inline constexpr std::size_t max_tokens_per_member = 256;
inline constexpr std::size_t max_clients = 4096;
inline constexpr std::size_t max_authorities = 4;  // two, while one is replaced by another
inline constexpr std::size_t max_authority_bytes = 4096;

struct Member {
  Uuid id;
  std::string address;  // host:port, a hint: the node announces its current one
  std::string rest_address;
  MemberState state = MemberState::up;
  std::vector<Position> tokens;  // each on a partition's anchor; ascending
  std::uint32_t weight = 100;
  std::optional<KeyHash> key;  // of its certificates; nothing: it has none
  friend bool operator==(const Member&, const Member&) = default;
};

// Somebody who has a certificate of the ring and is no node: a mount, an operator.
struct Client {
  std::string name;  // check_client_name()
  AccessRole role = AccessRole::reader;
  KeyHash key{};  // of its certificates
  bool revoked = false;
  friend bool operator==(const Client&, const Client&) = default;
};

struct MembersTable {
  std::uint64_t version = 0;
  std::vector<Member> members;                  // ascending by id
  std::map<std::string, std::string> settings;  // "replication" and the other ring-wide settings
  std::vector<Client> clients;                  // ascending by name
  // Certificates (PEM) of those whose signature is known here, by the hash of their key in hexadecimal.
  std::map<std::string, std::string> authorities;

  const Member* find(const Uuid& id) const;
  const Client* find_client(std::string_view name) const;
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

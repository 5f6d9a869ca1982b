// The genesis record: its bytes, and which records are valid.
#include "dht/core/protocol/genesis.hpp"

#include <bit>
#include <set>

#include "dht/base/position.hpp"

namespace ringfs::dht {

namespace {

constexpr std::uint8_t genesis_format = 1;
constexpr unsigned max_partition_bits = 16;
constexpr Duration longest = std::chrono::hours(1);  // of any timing constant: more is a mistake of the unit
constexpr double largest_lease_margin = 0.5;

void write(Writer& writer, const Timing& timing) {
  writer.i64(timing.heartbeat.count());
  writer.i64(timing.lease.count());
  writer.u64(std::bit_cast<std::uint64_t>(timing.lease_margin));
  writer.i64(timing.election_minimum.count());
  writer.i64(timing.election_maximum.count());
  writer.i64(timing.stabilize.count());
  writer.i64(timing.merge.count());
}

Timing read_timing(Reader& reader) {
  Timing timing;
  timing.heartbeat = Duration(reader.i64());
  timing.lease = Duration(reader.i64());
  timing.lease_margin = std::bit_cast<double>(reader.u64());
  timing.election_minimum = Duration(reader.i64());
  timing.election_maximum = Duration(reader.i64());
  timing.stabilize = Duration(reader.i64());
  timing.merge = Duration(reader.i64());
  return timing;
}

Status validate(const Timing& timing) {
  for (Duration duration : {timing.heartbeat, timing.lease, timing.election_minimum, timing.election_maximum,
                            timing.stabilize, timing.merge}) {
    if (duration <= Duration::zero() || duration > longest) {
      return fail(ErrorCode::corrupt, "a timing constant is not in (0, 1 h]");
    }
  }
  // Written so that a NaN is refused.
  if (!(timing.lease_margin >= 0 && timing.lease_margin < largest_lease_margin)) {
    return fail(ErrorCode::corrupt, "the lease margin is not in [0, 0.5)");
  }
  if (timing.lease <= timing.heartbeat) return fail(ErrorCode::corrupt, "the lease is not longer than a heartbeat");
  if (timing.election_minimum <= timing.lease) {
    return fail(ErrorCode::corrupt, "the election timeout is not longer than the lease");
  }
  if (timing.election_maximum <= timing.election_minimum) {
    return fail(ErrorCode::corrupt, "the election timeouts span no interval");
  }
  return {};
}

Status validate_settings(const MembersTable& table) {
  auto setting = table.settings.find("replication");
  if (setting == table.settings.end()) return {};
  const std::string& text = setting->second;
  if (text.size() != 1 || text[0] < '1' || text[0] > '7') {
    return fail(ErrorCode::corrupt, "replication is not in 1..7");
  }
  return {};
}

Status validate_table(const MembersTable& table, unsigned partition_bits) {
  if (table.version != 1) return fail(ErrorCode::corrupt, "the first table's version is not 1");
  if (table.members.empty()) return fail(ErrorCode::corrupt, "the first table has no members");
  if (table.members.size() > max_members) return fail(ErrorCode::corrupt, "too many members");
  std::set<Position> taken;
  const Member* previous = nullptr;
  for (const Member& member : table.members) {
    if (member.id.is_nil()) return fail(ErrorCode::corrupt, "a member without a uuid");
    if (previous != nullptr && member.id <= previous->id) return fail(ErrorCode::corrupt, "members are not ascending");
    if (member.state != MemberState::up && member.state != MemberState::joining) {
      return fail(ErrorCode::corrupt, "a first member is neither up nor joining");
    }
    if (member.tokens.size() > max_tokens_per_member) return fail(ErrorCode::corrupt, "a member has too many tokens");
    const Position* last = nullptr;
    for (const Position& token : member.tokens) {
      if (last != nullptr && token <= *last) return fail(ErrorCode::corrupt, "a member's tokens are not ascending");
      last = &token;
      if (token != anchor_of(partition_of(token, partition_bits), partition_bits)) {
        return fail(ErrorCode::corrupt, "a token does not lie on an anchor");
      }
      if (!taken.insert(token).second) return fail(ErrorCode::corrupt, "two members share a token");
    }
    previous = &member;
  }
  // Every position needs a successor. (With more nodes than partitions some nodes have no token.)
  if (taken.empty()) return fail(ErrorCode::corrupt, "no member has a token");
  return validate_settings(table);
}

}  // namespace

std::string encode(const Genesis& genesis) {
  Writer writer;
  writer.u8(genesis_format);
  write(writer, genesis.ring);
  writer.u32(genesis.partition_bits);
  write(writer, genesis.timing);
  writer.string(encode(genesis.first_table));
  return writer.take();
}

Result<Genesis> decode_genesis(std::string_view bytes) {
  Reader reader(bytes);
  if (reader.u8() != genesis_format) return fail(ErrorCode::corrupt, "format of the genesis record");
  Genesis genesis;
  genesis.ring = read_uuid(reader);
  genesis.partition_bits = reader.u32();
  genesis.timing = read_timing(reader);
  std::string_view table_bytes = reader.string();
  if (!reader.done()) return fail(ErrorCode::corrupt, "the genesis record has a wrong length");
  Result<MembersTable> table = decode_members_table(table_bytes);
  if (!table) return tl::unexpected<Error>(table.error());
  genesis.first_table = std::move(*table);
  Status valid = validate(genesis);
  if (!valid) return tl::unexpected<Error>(valid.error());
  return genesis;
}

Status validate(const Genesis& genesis) {
  if (genesis.ring.is_nil()) return fail(ErrorCode::corrupt, "the ring has no uuid");
  if (genesis.partition_bits > max_partition_bits) return fail(ErrorCode::corrupt, "partition bits are not in 0..16");
  Status timing = validate(genesis.timing);
  if (!timing) return timing;
  return validate_table(genesis.first_table, genesis.partition_bits);
}

}  // namespace ringfs::dht

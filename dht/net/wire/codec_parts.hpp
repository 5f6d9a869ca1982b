// What the codec's files share: identities, positions and payload pieces. Included by dht/net/wire/codec*.cpp only.
#pragma once

#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "dht/net/wire/codec.hpp"
#include "wire.pb.h"

namespace ringfs::dht::codec {

inline constexpr std::uint32_t max_partitions = 1 << 16;
// Of terms and incarnations, which only ever grow by one: the next one must not wrap around because of what a peer
// says.
inline constexpr std::uint64_t max_counter = std::uint64_t{1} << 62;

// Hands out the pieces behind a message, in order.
class Pieces {
 public:
  explicit Pieces(const ReceivedFrame& frame) : body_(frame.body), offset_(frame.header.message_bytes) {}

  SharedBytes take(std::uint32_t size) {
    if (!ok_ || size > body_.size() - offset_) {
      ok_ = false;
      return {};
    }
    SharedBytes piece(body_, offset_, size);
    offset_ += size;
    // A small piece must not keep a large buffer alive in some cache.
    bool pins_much = body_.size() > 16 * 1024 && piece.size() < body_.size() / 8;
    return pins_much ? SharedBytes(piece.str()) : piece;
  }

  template <class Sizes>
  std::vector<SharedBytes> take_all(const Sizes& sizes) {
    std::vector<SharedBytes> pieces;
    pieces.reserve(static_cast<std::size_t>(sizes.size()));
    for (std::uint32_t size : sizes) pieces.push_back(take(size));
    return pieces;
  }

  std::string_view take_view(std::uint32_t size) {
    if (!ok_ || size > body_.size() - offset_) {
      ok_ = false;
      return {};
    }
    std::string_view view = body_.view().substr(offset_, size);
    offset_ += size;
    return view;
  }

  bool ok() const { return ok_; }
  bool done() const { return ok_ && offset_ == body_.size(); }

 private:
  SharedBytes body_;
  std::size_t offset_;
  bool ok_ = true;
};

// Collects what does not decode, so that the functions below read as lists of fields.
struct Check {
  bool ok = true;

  Uuid uuid(const std::string& bytes) {
    Uuid value;
    if (bytes.size() != value.bytes.size()) {
      ok = false;
      return value;
    }
    std::copy(bytes.begin(), bytes.end(), value.bytes.begin());
    return value;
  }
  std::optional<Uuid> optional_uuid(const std::string& bytes) {
    if (bytes.empty()) return std::nullopt;
    return uuid(bytes);
  }
  Position position(const std::string& bytes) {
    Position value;
    if (bytes.size() != value.bytes.size()) {
      ok = false;
      return value;
    }
    std::copy(bytes.begin(), bytes.end(), value.bytes.begin());
    return value;
  }
  PartitionId partition(std::uint32_t number) {
    if (number >= max_partitions) ok = false;
    return PartitionId{number};
  }
  Duration duration(std::uint64_t microseconds) {
    require(microseconds <= static_cast<std::uint64_t>(INT64_MAX));
    return Duration(static_cast<std::int64_t>(microseconds & static_cast<std::uint64_t>(INT64_MAX)));
  }
  std::uint64_t counter(std::uint64_t value) {
    if (value >= max_counter) ok = false;
    return value;
  }
  template <class Enum>
  Enum enumeration(std::uint32_t number, Enum last) {  // 1 .. last
    if (number < 1 || number > static_cast<std::uint32_t>(last)) ok = false;
    return static_cast<Enum>(number);
  }
  std::string text(const std::string& bytes, std::size_t limit) {
    if (bytes.size() > limit) ok = false;
    return bytes;
  }
  Stamp stamp(std::int64_t microseconds) {  // of a log, or agreed: nobody who follows the protocol makes others
    require(is_sane(Stamp{microseconds}));
    return Stamp{microseconds};
  }
  void require(bool condition) { ok = ok && condition; }
};

inline std::string raw(const Uuid& uuid) { return std::string(uuid.raw()); }
inline std::string raw(const Position& position) {
  return std::string(reinterpret_cast<const char*>(position.bytes.data()), position.bytes.size());
}
inline std::uint32_t size32(std::size_t size) {
  RINGFS_CHECK(size <= std::numeric_limits<std::uint32_t>::max());
  return static_cast<std::uint32_t>(size);
}

template <class Sizes>
void put_pieces(const std::vector<SharedBytes>& pieces, Sizes* sizes, WireMessage& out) {
  sizes->Reserve(static_cast<int>(pieces.size()));
  for (const SharedBytes& piece : pieces) {
    sizes->Add(size32(piece.size()));
    out.payload.push_back(piece);
  }
}

void put_incarnation(const Incarnation& incarnation, wire::Incarnation* out);
Incarnation get_incarnation(const wire::Incarnation& in, Check& check);
void put_failure(const Error& error, wire::Failure* out);
Error get_failure(const wire::Failure& in, Check& check);

// Parses the message part; false: not this message.
template <class Message>
bool parse(const ReceivedFrame& frame, Message& message) {
  std::string_view bytes = frame.message();
  return message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
}

// codec_raft.cpp; the put functions move payload pieces into `out`.
void put(const RequestVote& in, wire::Envelope& envelope, WireMessage& out);
void put(const VoteReply& in, wire::Envelope& envelope, WireMessage& out);
void put(const Append& in, wire::Envelope& envelope, WireMessage& out);
void put(const AppendReply& in, wire::Envelope& envelope, WireMessage& out);
void put(const TimeoutNow& in, wire::Envelope& envelope, WireMessage& out);
void put(const SnapshotChunk& in, wire::Envelope& envelope, WireMessage& out);
void put(const SnapshotReply& in, wire::Envelope& envelope, WireMessage& out);
void put(const Heartbeat& in, wire::Envelope& envelope, WireMessage& out);
void put(const HeartbeatReply& in, wire::Envelope& envelope, WireMessage& out);
void put(const ReplicaQuery& in, wire::Envelope& envelope, WireMessage& out);
void put(const ReplicaRemoved& in, wire::Envelope& envelope, WireMessage& out);
RequestVote get(const wire::RequestVote& in, Check& check, Pieces& pieces);
VoteReply get(const wire::VoteReply& in, Check& check, Pieces& pieces);
Append get(const wire::Append& in, Check& check, Pieces& pieces);
AppendReply get(const wire::AppendReply& in, Check& check, Pieces& pieces);
TimeoutNow get(const wire::TimeoutNow& in, Check& check, Pieces& pieces);
SnapshotChunk get(const wire::SnapshotChunk& in, Check& check, Pieces& pieces);
SnapshotReply get(const wire::SnapshotReply& in, Check& check, Pieces& pieces);
Heartbeat get(const wire::Heartbeat& in, Check& check, Pieces& pieces);
HeartbeatReply get(const wire::HeartbeatReply& in, Check& check, Pieces& pieces);
ReplicaQuery get(const wire::ReplicaQuery& in, Check& check, Pieces& pieces);
ReplicaRemoved get(const wire::ReplicaRemoved& in, Check& check, Pieces& pieces);

// codec_chord.cpp: Chord and the members table.
void put(const ChordNeighboursRequest& in, wire::Envelope& envelope, WireMessage& out);
void put(const ChordNeighbours& in, wire::Envelope& envelope, WireMessage& out);
void put(const ChordNotify& in, wire::Envelope& envelope, WireMessage& out);
void put(const ChordFind& in, wire::Envelope& envelope, WireMessage& out);
void put(const ChordFound& in, wire::Envelope& envelope, WireMessage& out);
void put(const TableRequest& in, wire::Envelope& envelope, WireMessage& out);
void put(const TableReply& in, wire::Envelope& envelope, WireMessage& out);
void put(const Ping& in, wire::Envelope& envelope, WireMessage& out);
void put(const NodeReport& in, wire::Envelope& envelope, WireMessage& out);
ChordNeighboursRequest get(const wire::ChordNeighboursRequest& in, Check& check, Pieces& pieces);
ChordNeighbours get(const wire::ChordNeighbours& in, Check& check, Pieces& pieces);
ChordNotify get(const wire::ChordNotify& in, Check& check, Pieces& pieces);
ChordFind get(const wire::ChordFind& in, Check& check, Pieces& pieces);
ChordFound get(const wire::ChordFound& in, Check& check, Pieces& pieces);
TableRequest get(const wire::TableRequest& in, Check& check, Pieces& pieces);
TableReply get(const wire::TableReply& in, Check& check, Pieces& pieces);
Ping get(const wire::Ping& in, Check& check, Pieces& pieces);
NodeReport get(const wire::NodeReport& in, Check& check, Pieces& pieces);

}  // namespace ringfs::dht::codec

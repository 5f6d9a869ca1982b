// How the codec says each message once: a list of fields, from which the macros below make both directions.
// Included by dht/net/wire/codec*.cpp only.
//
// RINGFS_WIRE(Heartbeat, round, digest, ...) defines put(Encoder&, const Heartbeat&, wire::Heartbeat&) and
// get(Decoder&, const wire::Heartbeat&, Heartbeat&). A field whose name on the wire is another one is a pair,
// (room, shortage). The list must name every field, otherwise it does not compile. What a value must satisfy beyond the
// types of its fields says a function bool accept(Heartbeat*) before the list.
//
// A field is converted by the overload of put and get for its type and its wire type: those of leaves are here, those
// of messages come from their lists. A wire type of uint32 for bytes is the size of a piece of the payload: pieces lie
// there in the order of the lists.
#pragma once

#include <google/protobuf/repeated_field.h>

#include <algorithm>
#include <boost/preprocessor/cat.hpp>
#include <boost/preprocessor/control/iif.hpp>
#include <boost/preprocessor/punctuation/is_begin_parens.hpp>
#include <boost/preprocessor/repetition/enum_params.hpp>
#include <boost/preprocessor/seq/for_each.hpp>
#include <boost/preprocessor/seq/for_each_i.hpp>
#include <boost/preprocessor/tuple/elem.hpp>
#include <boost/preprocessor/variadic/size.hpp>
#include <boost/preprocessor/variadic/to_seq.hpp>
#include <concepts>
#include <limits>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "dht/net/wire/codec.hpp"
#include "wire.pb.h"

namespace ringfs::dht::codec {

inline constexpr std::uint32_t max_partitions = 1 << 16;
// The largest term or incarnation that is accepted. They grow by one; a peer's value must not make the next one wrap
// around.
inline constexpr std::uint64_t max_counter = std::uint64_t{1} << 62;

inline std::uint32_t size32(std::size_t size) {
  RINGFS_CHECK(size <= std::numeric_limits<std::uint32_t>::max());
  return static_cast<std::uint32_t>(size);
}

// Collects the pieces that go behind a message.
struct Encoder {
  std::vector<SharedBytes>& payload;
};

// Hands out the pieces behind a message, in order, and collects what does not decode, so that the lists need no
// branches.
class Decoder {
 public:
  explicit Decoder(const ReceivedFrame& frame) : body_(frame.body), offset_(frame.header.message_bytes) {}

  void require(bool condition) { in_range_ = in_range_ && condition; }
  void refuse(Error error) {
    if (!error_) error_ = std::move(error);
  }
  bool ok() const { return in_range_ && fits_ && !error_; }

  // The next `size` bytes of the payload; empty when there are fewer.
  std::string_view take(std::uint32_t size) {
    if (size > body_.size() - offset_) fits_ = false;
    if (!fits_) return {};
    offset_ += size;
    return body_.view().substr(offset_ - size, size);
  }
  SharedBytes take_shared(std::uint32_t size) {
    std::string_view piece = take(size);
    if (!fits_) return {};
    // A small piece must not keep a large buffer alive in some cache.
    bool pins_much = body_.size() > (16 << 10) && piece.size() < body_.size() / 8;
    return pins_much ? SharedBytes(std::string(piece)) : SharedBytes(body_, offset_ - size, size);
  }
  template <class T>
  void take_as(std::uint32_t size, Result<T> (*decode)(std::string_view), T& out) {
    Result<T> decoded = decode(take(size));
    if (decoded) {
      out = std::move(*decoded);
    } else {
      refuse(std::move(decoded.error()));
    }
  }

  // Whether `what` was decoded, and its pieces fill the payload.
  Status finish(const std::string& what) const {
    if (error_) return tl::unexpected(*error_);
    if (!in_range_) return fail(ErrorCode::corrupt, what + " with a value out of range");
    if (!fits_ || offset_ != body_.size()) {
      return fail(ErrorCode::corrupt, what + " whose payload does not fit its message");
    }
    return {};
  }

 private:
  SharedBytes body_;
  std::size_t offset_;
  bool in_range_ = true;
  bool fits_ = true;
  std::optional<Error> error_;
};

// ---- Leaves ---------------------------------------------------------------------------------------

template <class Number>
requires std::is_arithmetic_v<Number>
void put(Encoder&, Number in, Number& out) { out = in; }
template <class Number>
requires std::is_arithmetic_v<Number>
void get(Decoder&, Number in, Number& out) { out = in; }

// Enumerations count from 1.
constexpr EntryKind last_of(EntryKind) { return EntryKind::batch; }
constexpr ErrorCode last_of(ErrorCode) { return ErrorCode::cloned_identity; }
constexpr PeerRole last_of(PeerRole) { return PeerRole::node; }
constexpr Role last_of(Role) { return Role::learner; }
constexpr AccessRole last_of(AccessRole) { return AccessRole::node; }
constexpr Identity::Kind last_of(Identity::Kind) { return Identity::Kind::client; }

template <class Enum>
requires requires { last_of(Enum{}); }
void put(Encoder&, Enum in, std::uint32_t& out) { out = static_cast<std::uint32_t>(in); }
template <class Enum>
requires requires { last_of(Enum{}); }
void get(Decoder& decoder, std::uint32_t in, Enum& out) {
  decoder.require(in >= 1 && in <= static_cast<std::uint32_t>(last_of(Enum{})));
  out = static_cast<Enum>(in);
}

inline void put(Encoder&, PartitionId in, std::uint32_t& out) { out = index_of(in); }
inline void get(Decoder& decoder, std::uint32_t in, PartitionId& out) {
  decoder.require(in < max_partitions);
  out = PartitionId{in};
}

// As what the node has no room for: 0, which an older node says as well, is ample.
inline void put(Encoder&, Room in, std::uint32_t& out) {
  out = static_cast<std::uint32_t>(Room::ample) - static_cast<std::uint32_t>(in);
}
inline void get(Decoder& decoder, std::uint32_t in, Room& out) {
  constexpr auto most = static_cast<std::uint32_t>(Room::ample);
  decoder.require(in <= most);
  out = static_cast<Room>(most - std::min(in, most));
}

inline void put(Encoder&, Stamp in, std::int64_t& out) { out = in.microseconds; }
inline void get(Decoder&, std::int64_t in, Stamp& out) { out = Stamp{in}; }

inline void put(Encoder&, Duration in, std::uint32_t& out) { out = size32(static_cast<std::size_t>(in.count())); }
inline void get(Decoder&, std::uint32_t in, Duration& out) { out = Duration(in); }
inline void put(Encoder&, Duration in, std::uint64_t& out) { out = static_cast<std::uint64_t>(in.count()); }
inline void get(Decoder& decoder, std::uint64_t in, Duration& out) {
  constexpr auto most = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  decoder.require(in <= most);
  out = Duration(static_cast<std::int64_t>(in & most));
}

inline void put(Encoder&, const std::string& in, std::string& out) { out = in; }
inline void get(Decoder&, const std::string& in, std::string& out) { out = in; }

template <class Identity>
requires std::same_as<Identity, Uuid> || std::same_as<Identity, Position>
void put(Encoder&, const Identity& in, std::string& out) { out.assign(in.bytes.begin(), in.bytes.end()); }
template <class Identity>
requires std::same_as<Identity, Uuid> || std::same_as<Identity, Position>
void get(Decoder& decoder, const std::string& in, Identity& out) {
  const bool fits = in.size() == out.bytes.size();
  decoder.require(fits);
  if (fits) std::copy(in.begin(), in.end(), out.bytes.begin());
}

inline void put(Encoder& encoder, const std::optional<Uuid>& in, std::string& out) {
  if (in) put(encoder, *in, out);
}
inline void get(Decoder& decoder, const std::string& in, std::optional<Uuid>& out) {
  if (!in.empty()) get(decoder, in, out.emplace());
}

// ---- Pieces of the payload ------------------------------------------------------------------------

inline void put(Encoder& encoder, const SharedBytes& in, std::uint32_t& size) {
  size = size32(in.size());
  if (!in.empty()) encoder.payload.push_back(in);
}
inline void get(Decoder& decoder, std::uint32_t size, SharedBytes& out) { out = decoder.take_shared(size); }

inline void put(Encoder& encoder, const std::string& in, std::uint32_t& size) { put(encoder, SharedBytes(in), size); }
inline void get(Decoder& decoder, std::uint32_t size, std::string& out) { out = decoder.take(size); }

// What has an encoding of its own (docs/disk-format.md).
template <class Value>
requires requires(const Value& value) {
  { encode(value) } -> std::same_as<std::string>;
}
void put(Encoder& encoder, const Value& in, std::uint32_t& size) { put(encoder, SharedBytes(encode(in)), size); }
inline void get(Decoder& decoder, std::uint32_t size, BatchResult& out) {
  decoder.take_as(size, decode_batch_result, out);
}
inline void get(Decoder& decoder, std::uint32_t size, Genesis& out) { decoder.take_as(size, decode_genesis, out); }
inline void get(Decoder& decoder, std::uint32_t size, MembersTable& out) {
  decoder.take_as(size, decode_members_table, out);
}
inline void get(Decoder& decoder, std::uint32_t size, ReadRequest& out) {
  decoder.take_as(size, decode_read_request, out);
}

// ---- Lists ----------------------------------------------------------------------------------------

template <class Number, class Value>
Number number_of(Encoder& encoder, const Value& in) {
  Number out{};
  put(encoder, in, out);
  return out;
}

template <class Value, class Number>
void put(Encoder& encoder, const std::vector<Value>& in, google::protobuf::RepeatedField<Number>& out) {
  out.Reserve(static_cast<int>(in.size()));
  for (const Value& item : in) out.Add(number_of<Number>(encoder, item));
}
template <class Value, class Message>
void put(Encoder& encoder, const std::vector<Value>& in, google::protobuf::RepeatedPtrField<Message>& out) {
  out.Reserve(static_cast<int>(in.size()));
  for (const Value& item : in) put(encoder, item, *out.Add());
}
template <class Repeated, class Value>
void get(Decoder& decoder, const Repeated& in, std::vector<Value>& out) {
  out.reserve(static_cast<std::size_t>(in.size()));
  for (const auto& item : in) {
    if (!decoder.ok()) return;
    get(decoder, item, out.emplace_back());
  }
}

// ---- Messages -------------------------------------------------------------------------------------

inline bool accept(const void*) { return true; }  // of messages without a rule of their own

#define RINGFS_WIRE(Name, ...) RINGFS_WIRE_LIST(Name, RINGFS_WIRE_COUNT(__VA_ARGS__), __VA_ARGS__)
// Of a message whose list names fields of its fields, or leaves out what is not sent.
#define RINGFS_WIRE_PARTS(Name, ...) RINGFS_WIRE_LIST(Name, , __VA_ARGS__)

#define RINGFS_WIRE_LIST(Name, count, ...)                                            \
  template <std::same_as<wire::Name> Wire>                                            \
  void put(Encoder& encoder, const Name& in, Wire& out) {                             \
    BOOST_PP_SEQ_FOR_EACH(RINGFS_WIRE_PUT, _, BOOST_PP_VARIADIC_TO_SEQ(__VA_ARGS__)); \
  }                                                                                   \
  inline void get(Decoder& decoder, const wire::Name& in, Name& out) {                \
    count;                                                                            \
    BOOST_PP_SEQ_FOR_EACH(RINGFS_WIRE_GET, _, BOOST_PP_VARIADIC_TO_SEQ(__VA_ARGS__)); \
    if (decoder.ok()) decoder.require(accept(&out));                                  \
  }                                                                                   \
  static_assert(std::is_default_constructible_v<Name>)

// NOLINTBEGIN(bugprone-macro-parentheses): arguments here are names of types and members.
#define RINGFS_WIRE_EMPTY(Name)                          \
  inline void put(Encoder&, const Name&, wire::Name&) {} \
  inline void get(Decoder&, const wire::Name&, Name&) {} \
  static_assert(std::is_empty_v<Name>)

// A structured binding has as many names as the structure has fields.
#define RINGFS_WIRE_COUNT(...) \
  [[maybe_unused]] const auto& [BOOST_PP_ENUM_PARAMS(BOOST_PP_VARIADIC_SIZE(__VA_ARGS__), field)] = out

#define RINGFS_WIRE_PUT(r, _, field)                                                           \
  if constexpr (requires { out.RINGFS_WIRE_NAME(mutable_, field)(); }) {                       \
    put(encoder, in.RINGFS_WIRE_CORE(field), *out.RINGFS_WIRE_NAME(mutable_, field)());        \
  } else {                                                                                     \
    using Number = decltype(out.RINGFS_WIRE_NAME(, field)());                                  \
    out.RINGFS_WIRE_NAME(set_, field)(number_of<Number>(encoder, in.RINGFS_WIRE_CORE(field))); \
  }
#define RINGFS_WIRE_GET(r, _, field) get(decoder, in.RINGFS_WIRE_NAME(, field)(), out.RINGFS_WIRE_CORE(field));

#define RINGFS_WIRE_CORE(field) BOOST_PP_TUPLE_ELEM(0, RINGFS_WIRE_PAIR(field))
#define RINGFS_WIRE_NAME(prefix, field) BOOST_PP_CAT(prefix, BOOST_PP_TUPLE_ELEM(1, RINGFS_WIRE_PAIR(field)))
#define RINGFS_WIRE_PAIR(field) \
  BOOST_PP_IIF(BOOST_PP_IS_BEGIN_PARENS(field), RINGFS_WIRE_IS_PAIR, RINGFS_WIRE_MAKE_PAIR)(field)
#define RINGFS_WIRE_IS_PAIR(field) field
#define RINGFS_WIRE_MAKE_PAIR(field) (field, field)

// A variant and a oneof: the fields of the oneof in the order of the variant's alternatives. get_one_of is false if
// none is there.
#define RINGFS_WIRE_ONE_OF(Variant, Message, ...)                                          \
  inline void put(Encoder& encoder, const Variant& in, wire::Message& out) {               \
    BOOST_PP_SEQ_FOR_EACH_I(RINGFS_WIRE_PUT_ONE, _, BOOST_PP_VARIADIC_TO_SEQ(__VA_ARGS__)) \
  }                                                                                        \
  inline bool get_one_of(Decoder& decoder, const wire::Message& in, Variant& out) {        \
    BOOST_PP_SEQ_FOR_EACH_I(RINGFS_WIRE_GET_ONE, _, BOOST_PP_VARIADIC_TO_SEQ(__VA_ARGS__)) \
    return false;                                                                          \
  }                                                                                        \
  static_assert(std::variant_size_v<Variant> == BOOST_PP_VARIADIC_SIZE(__VA_ARGS__))

#define RINGFS_WIRE_PUT_ONE(r, _, i, name) \
  if (in.index() == i) put(encoder, std::get<i>(in), *out.BOOST_PP_CAT(mutable_, name)());
#define RINGFS_WIRE_GET_ONE(r, _, i, name)     \
  if (in.BOOST_PP_CAT(has_, name)()) {         \
    get(decoder, in.name(), out.emplace<i>()); \
    return true;                               \
  }
// NOLINTEND(bugprone-macro-parentheses)

// ---- Frames ---------------------------------------------------------------------------------------

// Parses the message part; false: not this message.
template <class Message>
bool parse(const ReceivedFrame& frame, Message& message) {
  std::string_view bytes = frame.message();
  return message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
}

template <class Message, class Value>
WireMessage encode_frame(const Value& value) {
  Message out;
  WireMessage result;
  Encoder encoder{result.payload};
  put(encoder, value, out);
  result.message = out.SerializeAsString();
  return result;
}

template <class Message, class Value>
Result<Value> decode_frame(const ReceivedFrame& frame, const std::string& what) {
  Message in;
  if (!parse(frame, in)) return fail(ErrorCode::corrupt, what + " does not decode");
  Decoder decoder(frame);
  Value value;
  get(decoder, in, value);
  if (Status decoded = decoder.finish(what); !decoded) return tl::unexpected(decoded.error());
  return value;
}

// codec.cpp
void put(Encoder& encoder, const Error& in, wire::Failure& out);
void get(Decoder& decoder, const wire::Failure& in, Error& out);

inline bool accept(const Incarnation* incarnation) { return incarnation->counter < max_counter; }
RINGFS_WIRE(Incarnation, counter, nonce);

}  // namespace ringfs::dht::codec

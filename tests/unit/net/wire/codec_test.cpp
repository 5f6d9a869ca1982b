// Round trips of messages, and what the decoder refuses.
#include "dht/net/wire/codec.hpp"

#include <gtest/gtest.h>

#include <functional>

#include "tests/fuzz/samples.hpp"

namespace ringfs::dht {
namespace {

ReceivedFrame envelope_frame(const Envelope& envelope) {
  return samples::received(FrameKind::envelope, encode(envelope));
}

ErrorCode code_of(const ReceivedFrame& frame) {
  Result<std::string> decoded = samples::decode_any(frame);
  return decoded ? ErrorCode::internal : decoded.error().code;
}

TEST(Codec, EveryMessage_SurvivesTheRoundTrip) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    SeededRandom random(seed);
    for (const ReceivedFrame& frame : samples::frames(random)) {
      Result<std::string> again = samples::decode_any(frame);
      ASSERT_TRUE(again) << again.error().text();
      EXPECT_EQ(*again, frame.body.view());
    }
  }
}

TEST(Codec, EveryAlternative_HasASample) {
  SeededRandom random(1);
  std::set<std::size_t> messages, operations;
  for (const Message& message : samples::messages(random)) messages.insert(message.index());
  for (const Operation& operation : samples::operations(random)) operations.insert(operation.index());
  EXPECT_EQ(messages.size(), std::variant_size_v<Message>);
  EXPECT_EQ(operations.size(), std::variant_size_v<Operation>);
}

TEST(Codec, Append_KeepsEntriesAndSharesBlobs) {
  SeededRandom random(3);
  Append sent = samples::append(random);
  Envelope envelope = samples::envelope(random, sent);
  ReceivedFrame frame = envelope_frame(envelope);
  Result<Envelope> decoded = decode_envelope(frame);
  ASSERT_TRUE(decoded);
  EXPECT_EQ(decoded->header.source, envelope.header.source);
  EXPECT_EQ(decoded->header.incarnation, envelope.header.incarnation);
  EXPECT_EQ(decoded->header.table_version, envelope.header.table_version);
  const Append& got = std::get<Append>(decoded->message);
  EXPECT_EQ(got.raft.term, sent.raft.term);
  EXPECT_EQ(got.previous_index, sent.previous_index);
  ASSERT_EQ(got.entries.size(), sent.entries.size());
  for (std::size_t i = 0; i < sent.entries.size(); ++i) {
    EXPECT_EQ(got.entries[i].index, sent.entries[i].index);
    EXPECT_EQ(got.entries[i].term, sent.entries[i].term);
    EXPECT_EQ(got.entries[i].stamp, sent.entries[i].stamp);
    EXPECT_EQ(got.entries[i].kind, sent.entries[i].kind);
    EXPECT_EQ(got.entries[i].head, sent.entries[i].head);
    EXPECT_EQ(got.entries[i].blobs, sent.entries[i].blobs);
  }
  // A large blob is a part of the frame's buffer, not a copy.
  const SharedBytes& blob = got.entries.back().blobs.front();
  EXPECT_GE(blob.data(), frame.body.data());
  EXPECT_LT(blob.data(), frame.body.data() + frame.body.size());
}

TEST(Codec, SmallPieceOfALargeFrame_IsCopied) {
  SnapshotChunk chunk;
  chunk.configuration = encode(Configuration{});
  chunk.rows = SharedBytes("small");
  chunk.blobs = {SharedBytes(std::string(100'000, 'x'))};
  SeededRandom random(1);
  ReceivedFrame frame = envelope_frame(samples::envelope(random, chunk));
  Result<Envelope> decoded = decode_envelope(frame);
  ASSERT_TRUE(decoded);
  const SharedBytes& rows = std::get<SnapshotChunk>(decoded->message).rows;
  EXPECT_EQ(rows.view(), "small");
  EXPECT_TRUE(rows.data() < frame.body.data() || rows.data() >= frame.body.data() + frame.body.size());
}

TEST(Codec, EncodedBlobs_AreTheSendersOwnBytes) {
  SeededRandom random(4);
  EncodedBatch batch = samples::batch(random);
  Operation operation = CommitOperation{PartitionId{3}, batch};
  WireMessage message = encode(operation);
  ASSERT_EQ(message.payload.size(), 1 + batch.blobs.size());
  EXPECT_EQ(message.payload.back().data(), batch.blobs.back().data());
}

TEST(Codec, PayloadThatDoesNotFit_IsCorrupt) {
  SeededRandom random(5);
  WireMessage message = encode(Operation(CommitOperation{PartitionId{3}, samples::batch(random)}));
  WireMessage shorter = message, longer = message;
  shorter.payload.pop_back();
  longer.payload.emplace_back("more");
  EXPECT_EQ(code_of(samples::received(FrameKind::request, shorter)), ErrorCode::corrupt);
  EXPECT_EQ(code_of(samples::received(FrameKind::request, longer)), ErrorCode::corrupt);
}

TEST(Codec, PartitionOutOfRange_IsCorrupt) {
  SeededRandom random(6);
  TimeoutNow message{samples::raft(random)};
  message.raft.partition = PartitionId{70'000};
  EXPECT_EQ(code_of(envelope_frame(samples::envelope(random, message))), ErrorCode::corrupt);
}

TEST(Codec, TermOrIncarnationThatCouldWrapAround_IsCorrupt) {
  SeededRandom random(9);
  TimeoutNow message{samples::raft(random)};
  message.raft.term = std::uint64_t{1} << 62;
  EXPECT_EQ(code_of(envelope_frame(samples::envelope(random, message))), ErrorCode::corrupt);
  Envelope envelope = samples::envelope(random, TimeoutNow{samples::raft(random)});
  envelope.header.incarnation.counter = ~std::uint64_t{0};
  EXPECT_EQ(code_of(envelope_frame(envelope)), ErrorCode::corrupt);
}

TEST(Codec, EntriesWithImpossibleTerms_AreCorrupt) {
  SeededRandom random(7);
  Append newer = samples::append(random);
  newer.entries.back().term = newer.raft.term + 1;
  EXPECT_EQ(code_of(envelope_frame(samples::envelope(random, newer))), ErrorCode::corrupt);
  Append backwards = samples::append(random);
  backwards.entries.back().term = 49;  // below the one before it
  EXPECT_EQ(code_of(envelope_frame(samples::envelope(random, backwards))), ErrorCode::corrupt);
}

TEST(Codec, ConfigurationEntryThatDoesNotDecode_IsCorrupt) {
  SeededRandom random(8);
  Append message = samples::append(random);
  message.entries[1].head = SharedBytes("not a configuration");
  EXPECT_EQ(code_of(envelope_frame(samples::envelope(random, message))), ErrorCode::corrupt);
}

TEST(Codec, TableThatDoesNotDecode_IsCorrupt) {
  SeededRandom random(9);
  EXPECT_EQ(code_of(envelope_frame(samples::envelope(random, TableReply{"junk"}))), ErrorCode::corrupt);
}

TEST(Codec, EmptyAndUnknownMessages_AreCorrupt) {
  for (FrameKind kind : {FrameKind::handshake, FrameKind::envelope, FrameKind::request, FrameKind::response,
                         FrameKind::error, FrameKind::join, FrameKind::join_answer}) {
    EXPECT_EQ(code_of(samples::received(kind, WireMessage{})) == ErrorCode::internal, false);
    EXPECT_NE(code_of(samples::received(kind, WireMessage{.message = "\xff\xff\xff", .payload = {}})),
              ErrorCode::internal);
  }
}

TEST(Handshake, NodeWithoutIdentity_IsCorrupt) {
  SeededRandom random(10);
  Handshake handshake = samples::handshake(random);
  handshake.node = Uuid{};
  EXPECT_EQ(code_of(samples::received(FrameKind::handshake, encode(handshake))), ErrorCode::corrupt);
  handshake.role = PeerRole::client;
  EXPECT_EQ(code_of(samples::received(FrameKind::handshake, encode(handshake))), ErrorCode::internal);
}

TEST(Handshake, LongestAddress_FitsTheHandshakeLimitAndLongerIsCorrupt) {
  SeededRandom random(11);
  Handshake handshake = samples::handshake(random);
  handshake.address = std::string(max_address_bytes, 'a');
  EXPECT_LE(encode(handshake).bytes(), max_handshake_bytes);
  EXPECT_EQ(code_of(samples::received(FrameKind::handshake, encode(handshake))), ErrorCode::internal);
  handshake.address += 'a';
  EXPECT_EQ(code_of(samples::received(FrameKind::handshake, encode(handshake))), ErrorCode::corrupt);
}

TEST(Join, LongestRequest_FitsTheHandshakeLimit) {
  SeededRandom random(13);
  JoinRequest request = samples::join_requests(random).front();
  request.request = std::string(max_request_pem_bytes, 'p');
  request.address = request.rest_address = std::string(max_address_bytes, 'a');
  EXPECT_LE(encode(request).bytes(), max_handshake_bytes);
  Result<JoinRequest> decoded = decode_join_request(samples::received(FrameKind::join, encode(request)));
  ASSERT_TRUE(decoded) << decoded.error().text();
  EXPECT_EQ(decoded->request, request.request);
  EXPECT_EQ(decoded->rest_address, request.rest_address);
  EXPECT_EQ(decoded->secret, request.secret);
  EXPECT_EQ(decoded->node, request.node);
}

TEST(Join, RequestsOutOfBounds_AreCorrupt) {
  SeededRandom random(14);
  using Change = std::function<void(JoinRequest&)>;
  const std::vector<std::pair<std::string, Change>> changes{
      {"a short secret", [](JoinRequest& it) { it.secret.resize(31); }},
      {"a long secret", [](JoinRequest& it) { it.secret.resize(33); }},
      {"no certificate request", [](JoinRequest& it) { it.request.clear(); }},
      {"a long certificate request", [](JoinRequest& it) { it.request = std::string(2049, 'p'); }},
      {"a long address", [](JoinRequest& it) { it.address = std::string(301, 'a'); }},
      {"a long REST address", [](JoinRequest& it) { it.rest_address = std::string(301, 'a'); }},
      {"a node without a uuid", [](JoinRequest& it) { it.node = {}; }},
      {"a node with a name", [](JoinRequest& it) { it.name = "laptop"; }},
      {"a client with a uuid", [](JoinRequest& it) { it.kind = Identity::Kind::client; }},
      {"neither node nor client", [](JoinRequest& it) { it.kind = Identity::Kind{3}; }},
  };
  for (const auto& [what, change] : changes) {
    JoinRequest request = samples::join_requests(random).front();
    change(request);
    EXPECT_EQ(code_of(samples::received(FrameKind::join, encode(request))), ErrorCode::corrupt) << what;
  }
  JoinRequest named = samples::join_requests(random).back();
  named.name = std::string(max_client_name_bytes, 'n');
  EXPECT_EQ(code_of(samples::received(FrameKind::join, encode(named))), ErrorCode::internal);
  named.name += 'n';
  EXPECT_EQ(code_of(samples::received(FrameKind::join, encode(named))), ErrorCode::corrupt);
  ReceivedFrame long_one = samples::received(FrameKind::join, {.message = std::string(4097, 'x'), .payload = {}});
  EXPECT_EQ(code_of(long_one), ErrorCode::too_large);
}

TEST(Join, LargestAnswer_FitsItsLimitAndOthersAreCorrupt) {
  SeededRandom random(15);
  const std::string pem(max_certificate_pem_bytes, 'p');
  JoinAnswer largest = samples::join_answer(random);
  largest.certificate = pem;
  largest.authorities.assign(max_authorities, pem);
  EXPECT_LE(encode(largest).bytes(), max_join_answer_bytes);
  EXPECT_EQ(code_of(samples::received(FrameKind::join_answer, encode(largest))), ErrorCode::internal);
  using Change = std::function<void(JoinAnswer&)>;
  const std::vector<std::pair<std::string, Change>> changes{
      {"no ring", [](JoinAnswer& it) { it.ring = {}; }},
      {"no role", [](JoinAnswer& it) { it.role = AccessRole{0}; }},
      {"an unknown role", [](JoinAnswer& it) { it.role = AccessRole{5}; }},
      {"no certificate", [](JoinAnswer& it) { it.certificate.clear(); }},
      {"a long certificate", [](JoinAnswer& it) { it.certificate += 'p'; }},
      {"no authority", [](JoinAnswer& it) { it.authorities.clear(); }},
      {"an empty authority", [](JoinAnswer& it) { it.authorities.front().clear(); }},
      {"a long authority", [](JoinAnswer& it) { it.authorities.front() += 'p'; }},
      {"too many authorities", [](JoinAnswer& it) { it.authorities.resize(max_authorities + 1, "p"); }},
      {"a long name", [](JoinAnswer& it) { it.name = std::string(65, 'n'); }},
  };
  for (const auto& [what, change] : changes) {
    JoinAnswer answer = largest;
    change(answer);
    const ErrorCode code = code_of(samples::received(FrameKind::join_answer, encode(answer)));
    EXPECT_TRUE(code == ErrorCode::corrupt || code == ErrorCode::too_large) << what;
  }
}

TEST(ErrorFrame, LongContext_IsCutAndControlCharactersReplaced) {
  Result<Error> cut =
      decode_error(samples::received(FrameKind::error, encode(Error{ErrorCode::timeout, std::string(5000, 'x')})));
  ASSERT_TRUE(cut);
  EXPECT_EQ(cut->context.size(), max_error_context_bytes);
  Result<Error> clean =
      decode_error(samples::received(FrameKind::error, encode(Error{ErrorCode::timeout, "a\x1b[2Jb\n"})));
  ASSERT_TRUE(clean);
  EXPECT_EQ(clean->context, "a?[2Jb?");
}

TEST(Response, Redirect_KeepsLeaderAndMembers) {
  SeededRandom random(12);
  Uuid leader = random_uuid(random), other = random_uuid(random);
  Response sent{.stamp = Stamp{77},
                .result = tl::unexpected(OperationFailure{{ErrorCode::not_leader, ""}, {leader, {leader, other}}})};
  Result<Response> got = decode_response(samples::received(FrameKind::response, encode(sent), 5));
  ASSERT_TRUE(got);
  EXPECT_EQ(got->stamp, Stamp{77});
  ASSERT_FALSE(got->result);
  EXPECT_EQ(got->result.error().error.code, ErrorCode::not_leader);
  EXPECT_EQ(got->result.error().redirect.leader, leader);
  EXPECT_EQ(got->result.error().redirect.members, (std::vector<Uuid>{leader, other}));
}

}  // namespace
}  // namespace ringfs::dht

// One valid frame of every message, with random contents: what the codec's round trips and mutations start from.
#pragma once

#include <string>
#include <vector>

#include "dht/base/random.hpp"
#include "dht/base/row_changes.hpp"
#include "dht/net/wire/codec.hpp"

namespace ringfs::samples {

inline std::string bytes(Random& random, std::size_t size) {
  std::string result(size, '\0');
  for (char& byte : result) byte = static_cast<char>(random.next());
  return result;
}

// A few changes: bits flipped, bytes cut, inserted, erased, set, or replaced by the beginning of `other`.
inline void mutate(std::string& bytes, const std::string& other, Random& random) {
  std::size_t changes = 1 + random.below(4);
  for (std::size_t i = 0; i < changes; ++i) {
    std::size_t size = bytes.size();
    switch (random.below(6)) {
      case 0:
        if (size > 0) bytes[random.below(size)] ^= static_cast<char>(1 << random.below(8));
        break;
      case 1: bytes.resize(random.below(size + 1)); break;
      case 2: bytes.insert(random.below(size + 1), samples::bytes(random, random.below(9))); break;
      case 3:
        if (size > 0) bytes.erase(random.below(size), random.below(9));
        break;
      case 4:
        if (size > 0) bytes[random.below(std::min<std::size_t>(size, 64))] = static_cast<char>(random.next());
        break;
      default: bytes.replace(size / 2, size, other.substr(0, random.below(other.size() + 1))); break;
    }
  }
}

inline Position position(Random& random) {
  Position value;
  for (auto& byte : value.bytes) byte = static_cast<std::uint8_t>(random.next());
  return value;
}

inline PartitionId partition(Random& random) { return PartitionId{static_cast<std::uint32_t>(random.below(256))}; }

inline dht::RaftHeader raft(Random& random) {
  return {.partition = partition(random),
          .term = 100 + random.below(1000),
          .source_added = random.below(50),
          .destination_added = random.below(50)};
}

inline dht::Configuration configuration(Random& random) {
  dht::Configuration result;
  for (int i = 0; i < 3; ++i) result.voters.push_back({random_uuid(random), random.below(9)});
  if (random.below(2) == 0) result.old_voters.push_back({random_uuid(random), 3});
  if (random.below(2) == 0) result.learners.push_back({random_uuid(random), 4});
  return result;
}

inline EncodedBatch batch(Random& random) {
  Batch value;
  value.client = random_uuid(random);
  value.sequence = 1 + random.below(100);
  value.first_incomplete = 1;
  value.expires = Stamp{static_cast<std::int64_t>(random.below(1'000'000'000))};
  value.conditions = {absent({"kv/a", "row"})};
  value.mutations.push_back(put({"kv/a", "row"}, SharedBytes(bytes(random, random.below(200)))));
  value.mutations.push_back(put({"kv/a", "large"}, SharedBytes(bytes(random, payload_threshold + random.below(5000)))));
  return encode(value);
}

inline dht::Append append(Random& random) {
  dht::Append message;
  message.raft = raft(random);
  message.previous_index = random.below(1000);
  message.previous_term = 7;
  message.commit = random.below(1000);
  dht::LogIndex index = message.previous_index;
  for (dht::EntryKind kind :
       {dht::EntryKind::no_op, dht::EntryKind::configuration, dht::EntryKind::batch, dht::EntryKind::batch}) {
    dht::Entry entry;
    entry.index = ++index;
    entry.term = 50;
    entry.stamp = Stamp{static_cast<std::int64_t>(random.below(1'000'000'000))};
    entry.kind = kind;
    if (kind == dht::EntryKind::configuration) entry.head = SharedBytes(dht::encode(configuration(random)));
    if (kind == dht::EntryKind::batch) {
      EncodedBatch encoded = batch(random);
      entry.head = encoded.head;
      entry.blobs = encoded.blobs;
    }
    message.entries.push_back(entry);
  }
  return message;
}

inline dht::SnapshotChunk snapshot(Random& random) {
  dht::SnapshotChunk message;
  message.raft = raft(random);
  message.snapshot = random.next();
  message.last_index = random.below(1000);
  message.last_term = random.below(100);
  message.last_stamp = Stamp{static_cast<std::int64_t>(random.below(1'000'000))};
  message.configuration = dht::encode(configuration(random));
  message.configuration_index = random.below(1000);
  message.number = static_cast<std::uint32_t>(random.below(100));
  message.rows = SharedBytes(bytes(random, random.below(3000)));
  message.blobs = {SharedBytes(bytes(random, random.below(9000))), SharedBytes(bytes(random, 10))};
  message.last = random.below(2) == 0;
  return message;
}

inline dht::MembersTable table(Random& random) {
  dht::MembersTable result;
  result.version = 1 + random.below(100);
  for (int i = 0; i < 3; ++i) {
    dht::Member member;
    member.id = random_uuid(random);
    member.address = "127.0.0.1:" + std::to_string(4000 + i);
    member.rest_address = "127.0.0.1:" + std::to_string(8000 + i);
    member.tokens = {anchor_of(PartitionId{static_cast<std::uint32_t>(i * 7)}, 8),
                     anchor_of(PartitionId{static_cast<std::uint32_t>(100 + i)}, 8)};
    result.members.push_back(member);
  }
  std::sort(result.members.begin(), result.members.end(),
            [](const dht::Member& a, const dht::Member& b) { return a.id < b.id; });
  result.settings["replication"] = "3";
  return result;
}

inline dht::Genesis genesis(Random& random) {
  dht::Genesis result;
  result.ring = random_uuid(random);
  result.first_table = table(random);
  result.first_table.version = 1;
  return result;
}

inline std::vector<dht::Message> messages(Random& random) {
  dht::ChordPeer peer{random_uuid(random), position(random)};
  dht::Heartbeat heartbeat{.round = random.next(), .digest = random.next(), .full = true, .groups = {}};
  for (int i = 0; i < 5; ++i) heartbeat.groups.push_back({partition(random), random.below(99), random.below(99), 1, 2});
  dht::ChordNeighbours neighbours{
      .request = random.next(), .member = true, .predecessor = peer, .successors = {peer, peer}};
  return {
      dht::RequestVote{raft(random), true, false, random.below(1000), random.below(100)},
      dht::VoteReply{raft(random), false, true},
      append(random),
      dht::AppendReply{raft(random), true, random.below(99), random.below(99), random.below(99), random.below(99),
                       false},
      dht::TimeoutNow{raft(random)},
      snapshot(random),
      dht::SnapshotReply{raft(random), random.next(), 3, false, true},
      heartbeat,
      dht::Heartbeat{.round = 2, .digest = 3, .full = false, .groups = {}},
      dht::Heartbeat{
          .round = 3, .digest = 4, .full = false, .groups = {}, .fitness = {true, true, 80'000, 70'000}, .asks = true},
      dht::HeartbeatReply{random.next(),
                          false,
                          dht::Room::reserve,
                          {{partition(random), random.below(99), true}},
                          {false, false, 800, 900},
                          {partition(random)}},
      dht::Ping{true},
      dht::NodeReport{
          {partition(random), partition(random)}, {random_uuid(random)}, {random_uuid(random), random_uuid(random)}},
      dht::ReplicaQuery{raft(random)},
      dht::ReplicaRemoved{raft(random), dht::encode(configuration(random)), random.below(99)},
      dht::ChordNeighboursRequest{random.next(), position(random)},
      neighbours,
      dht::ChordNeighbours{.request = 1, .member = false, .predecessor = std::nullopt, .successors = {}},
      dht::ChordNotify{position(random), peer},
      dht::ChordFind{random.next(), position(random)},
      dht::ChordFound{random.next(), true, false, peer, position(random)},
      dht::TableRequest{},
      dht::TableReply{dht::encode(table(random))},
  };
}

inline dht::Envelope envelope(Random& random, dht::Message message) {
  return {.header = {.ring = random_uuid(random),
                     .source = random_uuid(random),
                     .incarnation = {random.below(99), random.next()},
                     .destination = random_uuid(random),
                     .table_version = random.below(1000)},
          .message = std::move(message)};
}

inline std::vector<dht::Operation> operations(Random& random) {
  ReadRequest read;
  read.gets.push_back({"kv/a", "row"});
  read.scans.push_back({.key = "kv/b", .prefix = "p", .after = "pa", .max_rows = 10, .values = false});
  const Duration lease(1 + random.below(100'000));
  return {dht::ReadOperation{partition(random), read, dht::RowLease{random_uuid(random), lease}},
          dht::CommitOperation{partition(random), batch(random), lease},
          dht::FindOperation{position(random)},
          dht::TableOperation{},
          dht::StatusOperation{},
          dht::StatusOperation{17},
          dht::CreateOperation{genesis(random)},
          dht::JoinOperation{genesis(random), genesis(random).first_table},
          dht::SettleOperation{partition(random), {partition(random), {random.below(1000), random_uuid(random)}}}};
}

inline std::vector<dht::OperationResult> results(Random& random) {
  BatchResult applied;
  applied.outcome = BatchResult::Outcome::applied;
  applied.version = random.below(1000);
  applied.stamp = Stamp{5};
  applied.lease = Duration(70);
  dht::NodeStatus status;
  status.node = random_uuid(random);
  status.incarnation = {3, random.next()};
  status.ring = random_uuid(random);
  for (std::uint32_t i = 0; i < 3; ++i) {
    dht::GroupStatus group;
    group.partition = PartitionId{i};
    group.role = dht::Role::leader;
    group.term = random.below(100);
    if (i > 0) group.leader = random_uuid(random);
    group.commit = random.below(1000);
    group.lease = true;
    group.behind = 1;
    status.groups.push_back(group);
  }
  status.disk_free_bytes = random.next();
  status.disk_stalled = std::chrono::seconds(3);
  status.disk_write_time = std::chrono::milliseconds(300);
  status.disk_slow = status.late = true;
  status.storage_note = "its pages have no sums";
  status.events = {{7, Stamp{9}, "member_up", "node=x"}};
  EncodedBatch rows{.head = SharedBytes(bytes(random, 300)), .blobs = {SharedBytes(bytes(random, 40'000))}};
  dht::ReadAnswer leased(rows);
  leased.lease = Duration(80);
  return {dht::OperationResult(leased),
          dht::OperationResult(applied),
          dht::OperationResult(
              dht::FindReply{true, random_uuid(random), "127.0.0.1:4001", position(random), position(random)}),
          dht::OperationResult(dht::TableAnswer{genesis(random), table(random)}),
          dht::OperationResult(dht::TableAnswer{std::nullopt, dht::MembersTable{}}),
          dht::OperationResult(status),
          dht::OperationResult(dht::Empty{}),
          tl::unexpected(dht::OperationFailure{{ErrorCode::not_leader, "ask elsewhere"},
                                               {random_uuid(random), {random_uuid(random), random_uuid(random)}}}),
          dht::OperationResult(dht::SettleAnswer{true})};
}

inline dht::Handshake handshake(Random& random, dht::PeerRole role = dht::PeerRole::node) {
  return {.role = role,
          .node = random_uuid(random),
          .incarnation = {random.below(99), random.next()},
          .ring = random_uuid(random),
          .table_version = random.below(99),
          .stamp = Stamp{static_cast<std::int64_t>(random.below(1'000'000'000))},
          .expected = random_uuid(random),
          .address = "127.0.0.1:4001"};
}

inline std::vector<dht::JoinRequest> join_requests(Random& random) {
  const std::string pem = "-----BEGIN CERTIFICATE REQUEST-----\nMIHY\n-----END CERTIFICATE REQUEST-----\n";
  return {{.secret = bytes(random, 32),
           .kind = dht::Identity::Kind::node,
           .node = random_uuid(random),
           .name = {},
           .request = pem,
           .address = "10.0.0.2:4001",
           .rest_address = "10.0.0.2:8001"},
          {.secret = {},
           .kind = dht::Identity::Kind::client,
           .node = {},
           .name = "laptop",
           .request = pem,
           .address = {},
           .rest_address = {}}};
}

inline dht::JoinAnswer join_answer(Random& random) {
  const std::string pem = "-----BEGIN CERTIFICATE-----\nMIHY\n-----END CERTIFICATE-----\n";
  return {.ring = random_uuid(random),
          .role = AccessRole::writer,
          .name = "laptop",
          .certificate = pem,
          .authorities = {pem, pem + pem}};
}

// As the receiving side has it.
inline dht::ReceivedFrame received(dht::FrameKind kind, const dht::WireMessage& message, std::uint64_t request = 0) {
  std::string body = message.message;
  for (const SharedBytes& piece : message.payload) body += piece.view();
  dht::FrameHeader header{.kind = kind,
                          .message_bytes = static_cast<std::uint32_t>(message.message.size()),
                          .payload_bytes = static_cast<std::uint32_t>(message.payload_bytes()),
                          .request = request};
  return {.header = header, .body = SharedBytes(std::move(body))};
}

inline std::string flat(const dht::WireMessage& message) {
  return received(dht::FrameKind::handshake, message).body.str();
}

inline dht::Recall recall(Random& random, bool everything) {
  dht::Recall one{.client = random_uuid(random),
                  .partition = PartitionId{7},
                  .term = 3,
                  .number = 12,
                  .everything = everything,
                  .rows = {}};
  if (!everything) one.rows = {1, random.below(1000), UINT64_MAX};
  return one;
}

// What says who may hold row leases.
inline std::vector<dht::Message> lease_messages(Random& random) {
  const Uuid client = random_uuid(random);
  dht::VoteReply vote{raft(random), false, true, {{client, Duration(5)}}, Duration(6)};
  dht::Append appended;
  appended.raft = raft(random);
  appended.lease_version = 7;
  dht::Heartbeat heartbeat{.round = 1, .digest = 2, .full = true, .groups = {{PartitionId{3}, 4, 5, 6, 7}}};
  heartbeat.groups[0].leases = {8, true, {client, random_uuid(random)}};
  dht::HeartbeatReply reply;
  reply.keeps_leases = true;
  return {vote, appended, heartbeat, reply};
}

// A frame of every kind and message.
inline std::vector<dht::ReceivedFrame> frames(Random& random) {
  std::vector<dht::ReceivedFrame> all;
  all.push_back(received(dht::FrameKind::handshake, dht::encode(handshake(random))));
  all.push_back(received(dht::FrameKind::error, dht::encode(Error{ErrorCode::foreign_ring, "not yours"})));
  for (dht::Message& message : messages(random)) {
    all.push_back(received(dht::FrameKind::envelope, dht::encode(envelope(random, std::move(message)))));
  }
  for (dht::Message& message : lease_messages(random)) {
    all.push_back(received(dht::FrameKind::envelope, dht::encode(envelope(random, std::move(message)))));
  }
  for (dht::Operation& operation : operations(random))
    all.push_back(received(dht::FrameKind::request, dht::encode(operation), 7));
  for (dht::OperationResult& result : results(random)) {
    all.push_back(received(dht::FrameKind::response, dht::encode(dht::Response{Stamp{9}, std::move(result)}), 7));
  }
  for (const dht::JoinRequest& request : join_requests(random))
    all.push_back(received(dht::FrameKind::join, dht::encode(request)));
  all.push_back(received(dht::FrameKind::join_answer, dht::encode(join_answer(random))));
  for (const bool everything : {false, true}) {
    const dht::Recall one = recall(random, everything);
    all.push_back(received(dht::FrameKind::recall, dht::encode(one)));
    all.push_back(received(dht::FrameKind::release, dht::encode(one)));
  }
  all.push_back(received(dht::FrameKind::trust, dht::encode(dht::TrustText{R"({"do": "token_list"})"})));
  return all;
}

// Decodes as a receiver would, by the header's kind; the bytes of the value encoded again, or the error.
inline Result<std::string> decode_any(const dht::ReceivedFrame& frame) {
  auto again = [](const auto& value) -> Result<std::string> {
    if (!value) return tl::unexpected(value.error());
    return flat(dht::encode(*value));
  };
  switch (frame.header.kind) {
    case dht::FrameKind::handshake: return again(dht::decode_handshake(frame));
    case dht::FrameKind::envelope: return again(dht::decode_envelope(frame));
    case dht::FrameKind::request: return again(dht::decode_operation(frame));
    case dht::FrameKind::response: return again(dht::decode_response(frame));
    case dht::FrameKind::error: return again(dht::decode_error(frame));
    case dht::FrameKind::join: return again(dht::decode_join_request(frame));
    case dht::FrameKind::join_answer: return again(dht::decode_join_answer(frame));
    case dht::FrameKind::trust: return again(dht::decode_trust_text(frame));
    case dht::FrameKind::recall:
    case dht::FrameKind::release: return again(dht::decode_recall(frame));
  }
  return fail(ErrorCode::corrupt, "unknown kind");
}

}  // namespace ringfs::samples

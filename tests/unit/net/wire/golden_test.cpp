// The bytes of one frame of every kind and message, as protocol version 1 has them: nodes and clients of other builds
// read them.
#include <gtest/gtest.h>

#include "dht/base/hash.hpp"
#include "tests/fuzz/samples.hpp"
#include "tests/unit/net/wire/golden_frames.hpp"

namespace ringfs::dht {
namespace {

// The samples leave some fields at their defaults; these set each of them.
std::vector<ReceivedFrame> full_frames(Random& random) {
  std::vector<ReceivedFrame> frames;
  for (Message message : std::vector<Message>{
           AppendReply{samples::raft(random), true, 1, 2, 3, 4, true, true, Room::low},
           SnapshotReply{samples::raft(random), 1, 2, true, true, Room::none},
           HeartbeatReply{.round = 1,
           .unknown_digest = true,
           .room = Room::reserve,
           .refused = {{PartitionId{1}, 2, true}, {PartitionId{3}, 4, false}},
           .fitness = {true, true, 5, 6},
           .damaged = {PartitionId{7}, PartitionId{300}}},
       }) {
    Envelope envelope = samples::envelope(random, std::move(message));
    envelope.header.stamp = Stamp{123'456'789};
    frames.push_back(samples::received(FrameKind::envelope, encode(envelope)));
  }
  NodeStatus status;
  status.node = random_uuid(random);
  status.incarnation = {3, 4};
  status.ring = random_uuid(random);
  status.table_version = 5;
  status.groups = {{.partition = PartitionId{6},
                    .role = Role::learner,
                    .term = 7,
                    .leader = random_uuid(random),
                    .first_index = 8,
                    .last_index = 9,
                    .commit = 10,
                    .applied = 11,
                    .lease = true,
                    .behind = 12,
                    .snapshotting = true,
                    .settled = true,
                    .learners = 13,
                    .damaged = true}};
  status.snapshot_bytes_sent = 14;
  status.database_bytes = 15;
  status.disk_total_bytes = 16;
  status.disk_free_bytes = 17;
  status.disk_id = 18;
  status.no_space = true;
  status.disk_stalled = Duration(19);
  status.disk_write_time = Duration(20);
  status.disk_slow = true;
  status.late = true;
  status.storage_note = "note";
  status.wall = Stamp{21};
  status.ring_time = Stamp{22};
  status.events = {{23, Stamp{24}, "name", "detail"}};
  ReadAnswer read(EncodedBatch{.head = SharedBytes("head"), .blobs = {SharedBytes("a"), SharedBytes("bb")}});
  read.lease = Duration(25);
  read.stamp = Stamp{26};
  for (OperationResult result : {OperationResult(status), OperationResult(read)}) {
    frames.push_back(samples::received(FrameKind::response, encode(Response{Stamp{27}, std::move(result)})));
  }
  return frames;
}

// "kind message payload": the message in hexadecimal, the payload's size and checksum.
std::string described(const ReceivedFrame& frame) {
  std::string_view payload = frame.body.view().substr(frame.header.message_bytes);
  Writer sum;
  sum.u64(checksum(payload));
  return std::to_string(static_cast<int>(frame.header.kind)) + " " + to_hex(frame.message()) + " " +
         std::to_string(payload.size()) + ":" + to_hex(sum.bytes());
}

// A sample that is new goes to the end of its list in tests/fuzz/samples.hpp: what is before it stays as it is.
TEST(Codec, Frames_HaveTheBytesOfProtocolVersion1) {
  SeededRandom message_random(1), operation_random(2), result_random(3), other_random(4);
  std::vector<ReceivedFrame> frames = {
      samples::received(FrameKind::handshake, encode(samples::handshake(other_random))),
      samples::received(FrameKind::error, encode(Error{ErrorCode::foreign_ring, "not yours"}))};
  for (const ReceivedFrame& frame : full_frames(other_random)) frames.push_back(frame);
  for (Message& message : samples::messages(message_random)) {
    frames.push_back(
        samples::received(FrameKind::envelope, encode(samples::envelope(other_random, std::move(message)))));
  }
  for (const Operation& operation : samples::operations(operation_random)) {
    frames.push_back(samples::received(FrameKind::request, encode(operation)));
  }
  for (OperationResult& result : samples::results(result_random)) {
    frames.push_back(samples::received(FrameKind::response, encode(Response{Stamp{9}, std::move(result)})));
  }
  for (const JoinRequest& request : samples::join_requests(other_random)) {
    frames.push_back(samples::received(FrameKind::join, encode(request)));
  }
  frames.push_back(samples::received(FrameKind::join_answer, encode(samples::join_answer(other_random))));
  SeededRandom lease_random(5);
  for (Message& message : samples::lease_messages(lease_random)) {
    frames.push_back(
        samples::received(FrameKind::envelope, encode(samples::envelope(lease_random, std::move(message)))));
  }
  for (const bool everything : {false, true}) {
    const Recall recall = samples::recall(lease_random, everything);
    frames.push_back(samples::received(FrameKind::recall, encode(recall)));
    frames.push_back(samples::received(FrameKind::release, encode(recall)));
  }
  ReadAnswer listing(EncodedBatch{.head = SharedBytes("head"), .blobs = {}});
  listing.scan_lease = Duration(90);
  listing.unleased = {0, 3, 1000};
  const OperationResult listed{listing};
  frames.push_back(samples::received(FrameKind::response, encode(Response{Stamp{9}, listed})));
  ASSERT_EQ(frames.size(), std::size(golden_frames));
  for (std::size_t i = 0; i < frames.size(); ++i) EXPECT_EQ(described(frames[i]), golden_frames[i]) << "frame " << i;
}

}  // namespace
}  // namespace ringfs::dht

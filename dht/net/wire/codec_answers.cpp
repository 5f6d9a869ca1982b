// What nodes answer, on the wire.
#include "dht/net/wire/codec_parts.hpp"

namespace ringfs::dht {

using codec::Check;
using codec::Pieces;
using codec::raw;
using codec::size32;

namespace {

void put_piece(SharedBytes piece, WireMessage& out) {
  if (!piece.empty()) out.payload.push_back(std::move(piece));
}

void put(const ReadAnswer& in, wire::Response& response, WireMessage& out) {
  wire::ReadAnswer* read = response.mutable_read();
  read->set_head_size(size32(in.head.size()));
  read->set_lease_us(size32(static_cast<std::size_t>(in.lease.count())));
  read->set_stamp(in.stamp.microseconds);
  put_piece(in.head, out);
  codec::put_pieces(in.blobs, read->mutable_blob_sizes(), out);
}

void put(const BatchResult& in, wire::Response& response, WireMessage& out) {
  std::string encoded = encode(in);
  response.mutable_batch()->set_result_size(size32(encoded.size()));
  response.mutable_batch()->set_lease_us(size32(static_cast<std::size_t>(in.lease.count())));
  put_piece(std::move(encoded), out);
}

void put(const FindReply& in, wire::Response& response, WireMessage&) {
  wire::FindReply* find = response.mutable_find();
  find->set_final(in.final);
  find->set_node(raw(in.node));
  find->set_address(in.address);
  find->set_token(raw(in.token));
  find->set_through(raw(in.through));
}

void put(const TableAnswer& in, wire::Response& response, WireMessage& out) {
  wire::TableAnswer* answer = response.mutable_table();
  answer->set_affiliated(in.genesis.has_value());
  if (in.genesis) {
    std::string genesis = encode(*in.genesis);
    answer->set_genesis_size(size32(genesis.size()));
    put_piece(std::move(genesis), out);
  }
  std::string table = encode(in.table);
  answer->set_table_size(size32(table.size()));
  put_piece(std::move(table), out);
}

void put_group(const GroupStatus& in, wire::GroupStatus* out) {
  out->set_partition(index_of(in.partition));
  out->set_role(static_cast<std::uint32_t>(in.role));
  out->set_term(in.term);
  if (in.leader) out->set_leader(raw(*in.leader));
  out->set_first_index(in.first_index);
  out->set_last_index(in.last_index);
  out->set_commit(in.commit);
  out->set_applied(in.applied);
  out->set_lease(in.lease);
  out->set_behind(in.behind);
  out->set_snapshotting(in.snapshotting);
  out->set_settled(in.settled);
  out->set_learners(in.learners);
  out->set_damaged(in.damaged);
}

GroupStatus get_group(const wire::GroupStatus& in, Check& check) {
  GroupStatus group;
  group.partition = check.partition(in.partition());
  group.role = check.enumeration(in.role(), Role::learner);
  group.term = in.term();
  group.leader = check.optional_uuid(in.leader());
  group.first_index = in.first_index();
  group.last_index = in.last_index();
  group.commit = in.commit();
  group.applied = in.applied();
  group.lease = in.lease();
  group.behind = in.behind();
  group.snapshotting = in.snapshotting();
  group.settled = in.settled();
  group.learners = in.learners();
  group.damaged = in.damaged();
  return group;
}

void put(const NodeStatus& in, wire::Response& response, WireMessage&) {
  wire::NodeStatus* status = response.mutable_status();
  status->set_node(raw(in.node));
  codec::put_incarnation(in.incarnation, status->mutable_incarnation());
  if (in.ring) status->set_ring(raw(*in.ring));
  status->set_table_version(in.table_version);
  for (const GroupStatus& group : in.groups) put_group(group, status->add_groups());
  status->set_database_bytes(in.database_bytes);
  status->set_disk_total_bytes(in.disk_total_bytes);
  status->set_disk_free_bytes(in.disk_free_bytes);
  status->set_disk_id(in.disk_id);
  status->set_no_space(in.no_space);
  status->set_snapshot_bytes_sent(in.snapshot_bytes_sent);
  status->set_disk_stalled_us(static_cast<std::uint64_t>(in.disk_stalled.count()));
  status->set_disk_write_us(static_cast<std::uint64_t>(in.disk_write_time.count()));
  status->set_disk_slow(in.disk_slow);
  status->set_late(in.late);
  status->set_storage_note(in.storage_note);
  status->set_wall(in.wall.microseconds);
  status->set_ring_time(in.ring_time.microseconds);
  for (const NodeEvent& event : in.events) {
    wire::NodeEvent* out = status->add_events();
    out->set_sequence(event.sequence);
    out->set_stamp(event.time.microseconds);
    out->set_name(event.name);
    out->set_detail(event.detail);
  }
}

NodeStatus get_status(const wire::NodeStatus& in, Check& check) {
  NodeStatus status;
  status.node = check.uuid(in.node());
  status.incarnation = codec::get_incarnation(in.incarnation(), check);
  status.ring = check.optional_uuid(in.ring());
  status.table_version = in.table_version();
  check.require(static_cast<std::uint32_t>(in.groups_size()) <= codec::max_partitions);
  status.groups.reserve(static_cast<std::size_t>(in.groups_size()));
  for (const wire::GroupStatus& group : in.groups()) status.groups.push_back(get_group(group, check));
  status.database_bytes = in.database_bytes();
  status.disk_total_bytes = in.disk_total_bytes();
  status.disk_free_bytes = in.disk_free_bytes();
  status.disk_id = in.disk_id();
  status.no_space = in.no_space();
  status.wall = std::clamp(Stamp{in.wall()}, Stamp{}, max_stamp);
  status.ring_time = check.stamp(in.ring_time());
  status.snapshot_bytes_sent = in.snapshot_bytes_sent();
  status.disk_stalled = check.duration(in.disk_stalled_us());
  status.disk_write_time = check.duration(in.disk_write_us());
  status.disk_slow = in.disk_slow();
  status.late = in.late();
  status.storage_note = in.storage_note();
  check.require(static_cast<std::size_t>(in.events_size()) <= 2 * max_events);
  status.events.reserve(static_cast<std::size_t>(in.events_size()));
  for (const wire::NodeEvent& event : in.events()) {
    status.events.push_back({event.sequence(), Stamp{event.stamp()}, event.name(), event.detail()});
  }
  return status;
}

void put(const Empty&, wire::Response& response, WireMessage&) { response.mutable_empty(); }

void put_failure(const OperationFailure& in, wire::OperationFailure* out) {
  codec::put_failure(in.error, out->mutable_error());
  if (in.redirect.leader) out->set_leader(raw(*in.redirect.leader));
  for (const Uuid& member : in.redirect.members) out->add_members(raw(member));
}

OperationFailure get_failure(const wire::OperationFailure& in, Check& check) {
  OperationFailure failure;
  failure.error = codec::get_failure(in.error(), check);
  failure.redirect.leader = check.optional_uuid(in.leader());
  check.require(static_cast<std::size_t>(in.members_size()) <= max_members);
  for (const std::string& member : in.members()) {
    if (!check.ok) break;
    failure.redirect.members.push_back(check.uuid(member));
  }
  return failure;
}

Result<TableAnswer> get_table(const wire::TableAnswer& in, Pieces& pieces) {
  TableAnswer answer;
  std::string_view genesis = pieces.take_view(in.genesis_size());
  if (in.affiliated()) {
    Result<Genesis> decoded = decode_genesis(genesis);
    if (!decoded) return tl::unexpected(decoded.error());
    answer.genesis = std::move(*decoded);
  } else if (!genesis.empty()) {
    return fail(ErrorCode::corrupt, "genesis of an unaffiliated node");
  }
  Result<MembersTable> table = decode_members_table(pieces.take_view(in.table_size()));
  if (!table) return tl::unexpected(table.error());
  answer.table = std::move(*table);
  return answer;
}

Result<OperationResult> get_result(const wire::Response& in, Check& check, Pieces& pieces) {
  switch (in.result_case()) {
    case wire::Response::kFailure: return OperationResult(tl::unexpected(get_failure(in.failure(), check)));
    case wire::Response::kRead: {
      ReadAnswer read;
      read.head = pieces.take(in.read().head_size());
      read.blobs = pieces.take_all(in.read().blob_sizes());
      read.lease = Duration(in.read().lease_us());
      read.stamp = check.stamp(in.read().stamp());
      return OperationResult(std::move(read));
    }
    case wire::Response::kBatch: {
      Result<BatchResult> result = decode_batch_result(pieces.take_view(in.batch().result_size()));
      if (!result) return tl::unexpected(result.error());
      result->lease = Duration(in.batch().lease_us());
      return OperationResult(*result);
    }
    case wire::Response::kFind: {
      FindReply reply;
      reply.final = in.find().final();
      reply.node = check.uuid(in.find().node());
      reply.address = check.text(in.find().address(), max_address_bytes);
      reply.token = check.position(in.find().token());
      reply.through = check.position(in.find().through());
      return OperationResult(std::move(reply));
    }
    case wire::Response::kTable: {
      Result<TableAnswer> answer = get_table(in.table(), pieces);
      if (!answer) return tl::unexpected(answer.error());
      return OperationResult(std::move(*answer));
    }
    case wire::Response::kStatus: return OperationResult(get_status(in.status(), check));
    case wire::Response::kEmpty: return OperationResult(Empty{});
    case wire::Response::RESULT_NOT_SET: break;
  }
  return fail(ErrorCode::corrupt, "response without a known result");
}

}  // namespace

WireMessage encode(const Response& response) {
  wire::Response out;
  out.set_stamp(response.stamp.microseconds);
  WireMessage result;
  if (response.result) {
    std::visit([&](const auto& answer) { put(answer, out, result); }, *response.result);
  } else {
    put_failure(response.result.error(), out.mutable_failure());
  }
  result.message = out.SerializeAsString();
  return result;
}

Result<Response> decode_response(const ReceivedFrame& frame) {
  wire::Response in;
  if (!codec::parse(frame, in)) return fail(ErrorCode::corrupt, "response does not decode");
  Check check;
  Pieces pieces(frame);
  Result<OperationResult> result = get_result(in, check, pieces);
  if (!result) return tl::unexpected(result.error());
  if (!check.ok) return fail(ErrorCode::corrupt, "response with a value out of range");
  if (!pieces.done()) return fail(ErrorCode::corrupt, "response whose payload does not fit its message");
  const Stamp stamp = check.stamp(in.stamp());
  if (!check.ok) return fail(ErrorCode::corrupt, "response with an absurd time");
  return Response{.stamp = stamp, .result = std::move(*result)};
}

}  // namespace ringfs::dht

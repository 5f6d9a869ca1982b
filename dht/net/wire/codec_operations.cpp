// Clients' operations and their results on the wire.
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

void put(const ReadOperation& in, wire::Request& request, WireMessage& out) {
  std::string encoded = encode(in.request);
  wire::ReadOperation* read = request.mutable_read();
  read->set_partition(index_of(in.partition));
  read->set_request_size(size32(encoded.size()));
  if (in.lease.duration > Duration::zero()) {
    read->set_lease_client(raw(in.lease.client));
    read->set_lease_us(size32(static_cast<std::size_t>(in.lease.duration.count())));
  }
  put_piece(std::move(encoded), out);
}

void put(const CommitOperation& in, wire::Request& request, WireMessage& out) {
  wire::CommitOperation* commit = request.mutable_commit();
  commit->set_partition(index_of(in.partition));
  commit->set_head_size(size32(in.batch.head.size()));
  commit->set_lease_us(size32(static_cast<std::size_t>(in.lease.count())));
  put_piece(in.batch.head, out);
  codec::put_pieces(in.batch.blobs, commit->mutable_blob_sizes(), out);
}

void put(const FindOperation& in, wire::Request& request, WireMessage&) {
  request.mutable_find()->set_position(raw(in.position));
}

void put(const TableOperation&, wire::Request& request, WireMessage&) { request.mutable_table(); }

void put(const StatusOperation& in, wire::Request& request, WireMessage&) {
  wire::StatusOperation* status = request.mutable_status();
  if (in.events_after) status->set_events_after(*in.events_after);
}

void put(const CreateOperation& in, wire::Request& request, WireMessage& out) {
  std::string encoded = encode(in.genesis);
  request.mutable_create()->set_genesis_size(size32(encoded.size()));
  put_piece(std::move(encoded), out);
}

void put(const JoinOperation& in, wire::Request& request, WireMessage& out) {
  std::string genesis = encode(in.genesis);
  std::string table = encode(in.table);
  request.mutable_join()->set_genesis_size(size32(genesis.size()));
  request.mutable_join()->set_table_size(size32(table.size()));
  put_piece(std::move(genesis), out);
  put_piece(std::move(table), out);
}

Result<Operation> get_operation(const wire::Request& in, Check& check, Pieces& pieces) {
  switch (in.operation_case()) {
    case wire::Request::kRead: {
      ReadOperation read;
      read.partition = check.partition(in.read().partition());
      Result<ReadRequest> request = decode_read_request(pieces.take_view(in.read().request_size()));
      if (!request) return tl::unexpected(request.error());
      read.request = std::move(*request);
      read.lease.duration = Duration(in.read().lease_us());
      if (in.read().lease_us() != 0) read.lease.client = check.uuid(in.read().lease_client());
      return read;
    }
    case wire::Request::kCommit: {
      CommitOperation commit;
      commit.partition = check.partition(in.commit().partition());
      commit.lease = Duration(in.commit().lease_us());
      commit.batch.head = pieces.take(in.commit().head_size());
      commit.batch.blobs = pieces.take_all(in.commit().blob_sizes());
      return commit;
    }
    case wire::Request::kFind: return FindOperation{check.position(in.find().position())};
    case wire::Request::kTable: return TableOperation{};
    case wire::Request::kStatus: {
      StatusOperation status;
      if (in.status().has_events_after()) status.events_after = in.status().events_after();
      return status;
    }
    case wire::Request::kCreate: {
      Result<Genesis> genesis = decode_genesis(pieces.take_view(in.create().genesis_size()));
      if (!genesis) return tl::unexpected(genesis.error());
      return CreateOperation{std::move(*genesis)};
    }
    case wire::Request::kJoin: {
      Result<Genesis> genesis = decode_genesis(pieces.take_view(in.join().genesis_size()));
      if (!genesis) return tl::unexpected(genesis.error());
      Result<MembersTable> table = decode_members_table(pieces.take_view(in.join().table_size()));
      if (!table) return tl::unexpected(table.error());
      return JoinOperation{std::move(*genesis), std::move(*table)};
    }
    case wire::Request::OPERATION_NOT_SET: break;
  }
  return fail(ErrorCode::corrupt, "request without a known operation");
}

}  // namespace

WireMessage encode(const Operation& operation) {
  wire::Request out;
  WireMessage result;
  std::visit([&](const auto& alternative) { put(alternative, out, result); }, operation);
  result.message = out.SerializeAsString();
  return result;
}

Result<Operation> decode_operation(const ReceivedFrame& frame) {
  wire::Request in;
  if (!codec::parse(frame, in)) return fail(ErrorCode::corrupt, "request does not decode");
  Check check;
  Pieces pieces(frame);
  Result<Operation> operation = get_operation(in, check, pieces);
  if (!operation) return operation;
  if (!check.ok) return fail(ErrorCode::corrupt, "request with a value out of range");
  if (!pieces.done()) return fail(ErrorCode::corrupt, "request whose payload does not fit its message");
  return operation;
}

}  // namespace ringfs::dht

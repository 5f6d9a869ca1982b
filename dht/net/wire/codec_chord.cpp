// Chord's messages and those of the members table on the wire.
#include "dht/core/chord/chord.hpp"
#include "dht/net/wire/codec_parts.hpp"

namespace ringfs::dht::codec {

namespace {

void put_peer(const ChordPeer& in, wire::ChordPeer* out) {
  out->set_node(raw(in.node));
  out->set_token(raw(in.token));
}

ChordPeer get_peer(const wire::ChordPeer& in, Check& check) {
  ChordPeer peer;
  peer.node = check.uuid(in.node());
  peer.token = check.position(in.token());
  return peer;
}

}  // namespace

void put(const ChordNeighboursRequest& in, wire::Envelope& envelope, WireMessage&) {
  wire::ChordNeighboursRequest* out = envelope.mutable_neighbours_request();
  out->set_request(in.request);
  out->set_token(raw(in.token));
}

ChordNeighboursRequest get(const wire::ChordNeighboursRequest& in, Check& check, Pieces&) {
  ChordNeighboursRequest message;
  message.request = in.request();
  message.token = check.position(in.token());
  return message;
}

void put(const ChordNeighbours& in, wire::Envelope& envelope, WireMessage&) {
  wire::ChordNeighbours* out = envelope.mutable_neighbours();
  out->set_request(in.request);
  out->set_member(in.member);
  if (in.predecessor) put_peer(*in.predecessor, out->mutable_predecessor());
  for (const ChordPeer& successor : in.successors) put_peer(successor, out->add_successors());
}

ChordNeighbours get(const wire::ChordNeighbours& in, Check& check, Pieces&) {
  ChordNeighbours message;
  message.request = in.request();
  message.member = in.member();
  if (in.has_predecessor()) message.predecessor = get_peer(in.predecessor(), check);
  check.require(static_cast<std::size_t>(in.successors_size()) <= max_successors);
  for (const wire::ChordPeer& successor : in.successors()) {
    if (!check.ok) break;
    message.successors.push_back(get_peer(successor, check));
  }
  return message;
}

void put(const ChordNotify& in, wire::Envelope& envelope, WireMessage&) {
  wire::ChordNotify* out = envelope.mutable_notify();
  out->set_token(raw(in.token));
  put_peer(in.candidate, out->mutable_candidate());
}

ChordNotify get(const wire::ChordNotify& in, Check& check, Pieces&) {
  ChordNotify message;
  message.token = check.position(in.token());
  message.candidate = get_peer(in.candidate(), check);
  return message;
}

void put(const ChordFind& in, wire::Envelope& envelope, WireMessage&) {
  wire::ChordFind* out = envelope.mutable_find();
  out->set_request(in.request);
  out->set_position(raw(in.position));
}

ChordFind get(const wire::ChordFind& in, Check& check, Pieces&) {
  ChordFind message;
  message.request = in.request();
  message.position = check.position(in.position());
  return message;
}

void put(const ChordFound& in, wire::Envelope& envelope, WireMessage&) {
  wire::ChordFound* out = envelope.mutable_found();
  out->set_request(in.request);
  out->set_member(in.member);
  out->set_final(in.final);
  put_peer(in.peer, out->mutable_peer());
  out->set_through(raw(in.through));
}

ChordFound get(const wire::ChordFound& in, Check& check, Pieces&) {
  ChordFound message;
  message.request = in.request();
  message.member = in.member();
  message.final = in.final();
  message.peer = get_peer(in.peer(), check);
  message.through = check.position(in.through());
  return message;
}

void put(const TableRequest&, wire::Envelope& envelope, WireMessage&) { envelope.mutable_table_request(); }

TableRequest get(const wire::TableRequest&, Check&, Pieces&) { return {}; }

void put(const TableReply& in, wire::Envelope& envelope, WireMessage& payload) {
  envelope.mutable_table_reply()->set_table_size(size32(in.table.size()));
  if (!in.table.empty()) payload.payload.emplace_back(in.table);
}

TableReply get(const wire::TableReply& in, Check& check, Pieces& pieces) {
  TableReply message;
  message.table = std::string(pieces.take_view(in.table_size()));
  if (pieces.ok()) check.require(decode_members_table(message.table).has_value());
  return message;
}

void put(const Ping& in, wire::Envelope& envelope, WireMessage&) { envelope.mutable_ping()->set_answer(in.answer); }

Ping get(const wire::Ping& in, Check&, Pieces&) { return Ping{in.answer()}; }

void put(const NodeReport& in, wire::Envelope& envelope, WireMessage&) {
  wire::NodeReport* out = envelope.mutable_node_report();
  for (PartitionId partition : in.led) out->add_led(index_of(partition));
  for (const Uuid& member : in.unsettled) out->add_unsettled(raw(member));
  for (const Uuid& member : in.silent) out->add_silent(raw(member));
}

NodeReport get(const wire::NodeReport& in, Check& check, Pieces&) {
  NodeReport message;
  check.require(static_cast<std::uint32_t>(in.led_size()) <= max_partitions);
  check.require(static_cast<std::size_t>(in.unsettled_size()) <= max_members);
  check.require(static_cast<std::size_t>(in.silent_size()) <= max_members);
  if (!check.ok) return message;
  for (std::uint32_t partition : in.led()) message.led.push_back(check.partition(partition));
  for (const std::string& member : in.unsettled()) message.unsettled.push_back(check.uuid(member));
  for (const std::string& member : in.silent()) message.silent.push_back(check.uuid(member));
  return message;
}

}  // namespace ringfs::dht::codec

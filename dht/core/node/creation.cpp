// The operations that make this node a first or a new member of a ring.
#include "dht/core/node/creation.hpp"

#include <utility>

namespace ringfs::dht {

void Creation::start(OperationId id, CreateOperation operation) {
  MembersTable table = operation.genesis.first_table;
  take(id, std::move(operation.genesis), std::move(table));
}

void Creation::start(OperationId id, JoinOperation operation) {
  const bool known = ring_.genesis && ring_.genesis->ring == operation.genesis.ring;
  if (known) table_copy_.learned(operation.table, "join");
  take(id, std::move(operation.genesis), std::move(operation.table));
}

void Creation::take(OperationId id, Genesis genesis, MembersTable table) {
  Outbox& out = services_.out;
  Status valid = validate(genesis);
  if (!valid) {
    out.fail(id, valid.error());
    return;
  }
  const Genesis* own = ring_.genesis ? &*ring_.genesis : under_way_ ? &under_way_->genesis : nullptr;
  if (own != nullptr) {
    take_again(id, *own, genesis);
    return;
  }
  const Member* member = table.find(services_.self);
  if (member == nullptr || member->state == MemberState::removed) {
    out.fail(id, {ErrorCode::wrong_identity, "the members do not include node " + services_.self.text()});
    return;
  }
  NodeWrite& write = out.node_write();
  write.genesis = genesis;
  write.table = table;
  under_way_ = Taken{std::move(genesis), std::move(table), out.write_id(), {id}};
}

void Creation::take_again(OperationId id, const Genesis& own, const Genesis& genesis) {
  Outbox& out = services_.out;
  if (own.ring != genesis.ring) {
    out.fail(id, {ErrorCode::already_member, "of ring " + own.ring.text()});
  } else if (encode(own) != encode(genesis)) {
    out.fail(id, {ErrorCode::foreign_ring, "the ring has this id but another genesis record"});
  } else if (ring_.genesis) {
    out.reply(id, Answer(Empty{}));
  } else if (under_way_->operations.size() >= max_waiting_creates) {
    out.fail(id, {ErrorCode::overloaded, "the ring is being created"});
  } else {
    under_way_->operations.push_back(id);
  }
}

std::optional<Creation::Taken> Creation::written(EffectId write) {
  if (!under_way_ || under_way_->write > write) return {};
  return std::exchange(under_way_, std::nullopt);
}

}  // namespace ringfs::dht

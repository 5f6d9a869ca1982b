// Genesis, and how this node's copy of the members table stays new (docs/design.md#creation).
#include <algorithm>
#include <utility>

#include "dht/core/members/placed_members.hpp"
#include "dht/core/node/implementation.hpp"

namespace ringfs::dht {

std::vector<InitialGroup> initial_groups(const Genesis& genesis, const Uuid& node) {
  Placement placement(genesis.first_table, genesis.partition_bits);
  PartitionId table_partition = partition_of(key_position(members_key), genesis.partition_bits);
  std::vector<InitialGroup> groups;
  for (std::uint32_t index = 0; index < placement.partitions(); ++index) {
    PartitionId partition{index};
    const std::vector<Uuid>& members = placement.preference_list(partition);
    if (std::find(members.begin(), members.end(), node) == members.end()) continue;
    InitialGroup group;
    group.partition = partition;
    for (const Uuid& member : members) group.configuration.voters.push_back({member, 0});
    if (partition == table_partition) group.rows = rows_of(genesis.first_table);
    groups.push_back(std::move(group));
  }
  return groups;
}

// What follows from genesis and table alone.
void Node::Implementation::start_ring() {
  services_.timing = genesis_->timing;
  table_partition_ = partition_of(key_position(members_key), genesis_->partition_bits);
  out_.set_ring(genesis_->ring);
  ChordOptions options;
  options.self = self_;
  if (const Member* member = table_.find(self_)) options.tokens = member->tokens;
  options.replication = table_.replication();
  options.timing = genesis_->timing;
  chord_ = std::make_unique<Chord>(std::move(options), random_, now());
  started_at_ = now();
  report_at_ = now() + report_interval;
  set_table(table_);
}

void Node::Implementation::start_groups(const std::vector<PersistedGroup>& groups, bool created) {
  for (const PersistedGroup& persisted : groups) {
    bool members = persisted.partition == table_partition_;
    auto one = std::make_unique<Group>(persisted, created, members, services_);
    watch(*one);
    bool touched = one->take_members_touched();
    RINGFS_CHECK(groups_.emplace(persisted.partition, std::move(one)).second);
    if (touched) refresh_table();
  }
}

void Node::Implementation::genesis_durable() {
  Creation creation = std::move(*creation_);
  creation_.reset();
  genesis_ = std::move(creation.genesis);
  table_ = std::move(creation.table);
  start_ring();
  std::vector<PersistedGroup> groups;
  for (InitialGroup& initial : initial_groups(*genesis_, self_)) {
    PersistedGroup group;
    group.partition = initial.partition;
    group.replica = {self_, 0};
    group.configuration = std::move(initial.configuration);
    groups.push_back(std::move(group));
  }
  start_groups(groups, true);
  if (options_.faults.place_voters) place_voters();
  out_.event("ring_created", "ring=" + genesis_->ring.text() + " groups=" + std::to_string(groups.size()));
  for (OperationId operation : creation.operations) out_.reply(operation, Answer(Empty{}));
}

void Node::Implementation::set_table(MembersTable table) {
  table_ = std::move(table);
  out_.set_table_version(table_.version);
  services_.placement = Placement(table_, genesis_->partition_bits);
  std::optional<std::uint64_t> rate = table_.rebalance_rate();
  services_.moves_paused = rate == 0U;
  services_.pace.set_rate(rate);
  voices_.clear();
  for (const Member& member : table_.members) {
    if (is_placed(member)) voices_.push_back(member.id);
  }
  std::erase_if(heard_, [this](const auto& entry) { return table_.find(entry.first) == nullptr; });
  chord_->set_table(table_, now());
}

// What never happens (NodeOptions::Faults): a replica that does not come from genesis or from a leader's snapshot.
void Node::Implementation::place_voters() {
  for (std::uint32_t index = 0; index < services_.placement.partitions(); ++index) {
    PartitionId partition{index};
    const std::vector<Uuid>& placed = services_.placement.preference_list(partition);
    if (group(partition) != nullptr || std::find(placed.begin(), placed.end(), self_) == placed.end()) continue;
    PersistedGroup voter;
    voter.partition = partition;
    voter.replica = {self_, 0};
    for (const Uuid& node : placed) voter.configuration.voters.push_back({node, 0});
    out_.group_write(partition).reset = ReplicaReset{0, voter.configuration, 0};
    start_groups({voter}, false);
  }
}

void Node::Implementation::adopt(MembersTable table, const char* from) {
  if (table.version <= table_.version) return;
  out_.event("table_adopted", "version=" + std::to_string(table.version) + " from=" + from);
  set_table(std::move(table));
  out_.node_write().table = table_;
  const Member* own = table_.find(self_);
  if (own != nullptr && own->state == MemberState::removed)
    out_.event("removed_from_ring", "version=" + std::to_string(table_.version));
  if (options_.faults.place_voters) place_voters();
}

// One request at a time; whoever is ahead says so again with its next message.
void Node::Implementation::fetch_table(const Uuid& source) {
  if (now() < fetch_until_) return;
  fetch_until_ = now() + table_fetch_timeout;
  out_.send(source, TableRequest{});
}

// Any replica of the table's partition knows what it applied; it need not lead to learn from its own rows.
void Node::Implementation::refresh_table() {
  table_read_at_ = never;
  if (table_read_ != 0) {
    table_read_again_ = true;
    return;
  }
  Group* holder = group(table_partition_);
  if (holder == nullptr || !holder->state().serves()) {  // it was removed meanwhile
    table_rows_.clear();
    return;
  }
  ReadRequest request;
  ReadRequest::Scan scan;
  scan.key = members_key;
  if (!table_rows_.empty()) scan.after = table_rows_.back().sort;
  request.scans.push_back(std::move(scan));
  table_read_ = out_.read(table_partition_, std::move(request));
}

void Node::Implementation::table_read(Result<ReadAnswer> answer) {
  table_read_ = 0;
  if (std::exchange(table_read_again_, false)) {  // pages of different states do not make a table
    table_rows_.clear();
    refresh_table();
    return;
  }
  auto give_up = [&](const Error& error) {
    out_.event("table_read_failed", "error=" + std::string(to_string(error.code)));
    table_rows_.clear();
    table_read_at_ = now() + table_read_retry;
  };
  if (!answer) {
    give_up(answer.error());
    return;
  }
  Result<ReadReply> reply = decode_read_reply(answer->head, answer->blobs);
  if (!reply || reply->scans.size() != 1) {
    give_up(reply ? Error{ErrorCode::corrupt, {}} : reply.error());
    return;
  }
  ReadReply::ScanResult& page = reply->scans.front();
  bool more = page.more && !page.rows.empty();
  for (Row& row : page.rows) table_rows_.push_back(std::move(row));
  if (more) {
    refresh_table();
    return;
  }
  Result<MembersTable> table = table_from_rows(table_rows_);
  if (!table) {
    give_up(table.error());
    return;
  }
  table_rows_.clear();
  adopt(std::move(*table), "rows");
}

}  // namespace ringfs::dht

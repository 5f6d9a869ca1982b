// Operations and rows to the role that they need.
#include "dht/net/runtime/access.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace ringfs::dht {

namespace {

struct KeyRule {
  std::string_view prefix;
  bool whole;  // the key is the prefix
  AccessRole read;
  AccessRole change;
};

using enum AccessRole;
// The first that fits counts.
const std::array<KeyRule, 6>& key_rules() {
  using namespace std::string_view_literals;
  static const std::array<KeyRule, 6> rules{{
      {record_key, true, writer, writer},
      {"\0"sv, false, node, node},
      {"ring/authority", true, node, node},
      {"ring/tokens", true, node, node},
      {"ring/members", true, reader, admin},
      {"ring/", false, admin, admin},
  }};
  return rules;
}

const KeyRule* rule_for(std::string_view key) {
  for (const KeyRule& rule : key_rules()) {
    if (rule.whole ? key == rule.prefix : key.starts_with(rule.prefix)) return &rule;
  }
  return nullptr;
}

// The highest role of those that were met.
class Highest {
 public:
  explicit Highest(AccessRole least) : role_(least) {}
  void read(const RowAddress& row) { raise(role_to_read(row.key)); }
  void change(const RowAddress& row) { raise(role_to_change(row.key)); }
  void raise(AccessRole role) { role_ = std::max(role_, role); }
  AccessRole role() const { return role_; }

 private:
  AccessRole role_;
};

AccessRole required(const ReadOperation& operation) {
  Highest highest(reader);
  for (const RowAddress& row : operation.request.gets) highest.read(row);
  for (const ReadRequest::Scan& scan : operation.request.scans) highest.raise(role_to_read(scan.key));
  return highest.role();
}

void look_at(Highest& highest, const Mutation& mutation) {
  const bool transaction = mutation.kind == Mutation::Kind::prepare || mutation.kind == Mutation::Kind::resolve;
  if (!transaction) highest.change(mutation.row);
  for (const RowAddress& row : mutation.locks) highest.change(row);
  for (const Mutation& part : mutation.part) highest.change(part.row);
}

AccessRole required(const CommitOperation& operation) {
  Highest highest(writer);
  Result<Batch> batch = decode_batch(operation.batch.head, operation.batch.blobs);
  if (!batch) return highest.role();
  for (const Condition& condition : batch->conditions) highest.read(condition.row);
  for (const Mutation& mutation : batch->mutations) look_at(highest, mutation);
  return highest.role();
}

AccessRole required(const FindOperation&) { return reader; }
AccessRole required(const TableOperation&) { return reader; }
AccessRole required(const StatusOperation&) { return reader; }
AccessRole required(const SettleOperation&) { return reader; }
AccessRole required(const CreateOperation&) { return node; }
AccessRole required(const JoinOperation&) { return node; }

}  // namespace

AccessRole role_to_read(std::string_view key) {
  const KeyRule* rule = rule_for(key);
  return rule == nullptr ? reader : rule->read;
}

AccessRole role_to_change(std::string_view key) {
  const KeyRule* rule = rule_for(key);
  return rule == nullptr ? writer : rule->change;
}

AccessRole required_role(const Operation& operation) {
  return std::visit([](const auto& one) { return required(one); }, operation);
}

Status check_access(AccessRole held, const Operation& operation) {
  if (held == node) return {};  // without a look at every row
  const AccessRole wanted = required_role(operation);
  if (held >= wanted) return {};
  return fail(ErrorCode::access_denied,
              "this wants the role " + std::string(to_string(wanted)) + "; yours is " + std::string(to_string(held)));
}

}  // namespace ringfs::dht

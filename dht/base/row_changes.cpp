// Conditions and mutations, each with the fields that its kind has.
#include "dht/base/row_changes.hpp"

#include <utility>

namespace ringfs {

namespace {

Condition condition(Condition::Kind kind, RowAddress row) {
  Condition result;
  result.kind = kind;
  result.row = std::move(row);
  return result;
}

Mutation mutation(Mutation::Kind kind, RowAddress row) {
  Mutation result;
  result.kind = kind;
  result.row = std::move(row);
  return result;
}

Mutation numeric(Mutation::Kind kind, RowAddress row, std::uint32_t offset, std::int64_t number) {
  Mutation result = mutation(kind, std::move(row));
  result.offset = offset;
  result.number = number;
  return result;
}

}  // namespace

Condition absent(RowAddress row) { return condition(Condition::Kind::absent, std::move(row)); }
Condition present(RowAddress row) { return condition(Condition::Kind::present, std::move(row)); }

Condition version_equals(RowAddress row, std::uint64_t version) {
  Condition result = condition(Condition::Kind::version_equals, std::move(row));
  result.version = version;
  return result;
}

Condition value_equals(RowAddress row, SharedBytes value) {
  Condition result = condition(Condition::Kind::value_equals, std::move(row));
  result.value = std::move(value);
  return result;
}

Condition bytes_equal(RowAddress row, std::uint32_t offset, SharedBytes bytes) {
  Condition result = condition(Condition::Kind::bytes_equal, std::move(row));
  result.offset = offset;
  result.value = std::move(bytes);
  return result;
}

Condition empty_prefix(RowAddress prefix) { return condition(Condition::Kind::empty_prefix, std::move(prefix)); }

Mutation put(RowAddress row, SharedBytes value) {
  Mutation result = mutation(Mutation::Kind::put, std::move(row));
  result.value = std::move(value);
  return result;
}

Mutation erase(RowAddress row) { return mutation(Mutation::Kind::erase, std::move(row)); }
Mutation erase_prefix(RowAddress prefix) { return mutation(Mutation::Kind::erase_prefix, std::move(prefix)); }

Mutation add_i64(RowAddress row, std::uint32_t offset, std::int64_t number) {
  return numeric(Mutation::Kind::add_i64, std::move(row), offset, number);
}
Mutation max_i64(RowAddress row, std::uint32_t offset, std::int64_t number) {
  return numeric(Mutation::Kind::max_i64, std::move(row), offset, number);
}
Mutation truncate_row(RowAddress row, std::size_t length) {
  return numeric(Mutation::Kind::truncate, std::move(row), 0, static_cast<std::int64_t>(length));
}

Mutation write_bytes(RowAddress row, std::uint32_t offset, SharedBytes bytes) {
  Mutation result = mutation(Mutation::Kind::write_bytes, std::move(row));
  result.offset = offset;
  result.value = std::move(bytes);
  return result;
}

Mutation prepare(const RecordRef& record, std::vector<Mutation> part, std::vector<RowAddress> locks) {
  Mutation result = mutation(Mutation::Kind::prepare, {});
  result.record = record;
  result.part = std::move(part);
  result.locks = std::move(locks);
  return result;
}

Mutation resolve(const RecordRef& record, bool commit) {
  Mutation result = mutation(Mutation::Kind::resolve, {});
  result.record = record;
  result.number = commit ? 1 : 0;
  return result;
}

}  // namespace ringfs

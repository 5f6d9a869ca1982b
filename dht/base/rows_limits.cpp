// Limits of batches and reads: what a client may say at all. Checked before anything is proposed, and again when it is
// applied.
#include "dht/base/rows.hpp"

namespace ringfs {

namespace {

// Upper bounds of what the encoding adds to keys and values, so that a batch that passes here also passes decode_batch.
constexpr std::size_t batch_overhead_bytes = 80;
constexpr std::size_t item_overhead_bytes = 48;
// Lock rows hold a key and a sort key in one; the janitor may page through them.
constexpr std::size_t max_internal_sort_bytes = 2 * max_key_bytes + 4;

bool is_internal(std::string_view key) { return !key.empty() && key.front() == '\0'; }

Status check_row(const RowAddress& row, bool records_allowed) {
  if (row.key.empty()) return fail(ErrorCode::invalid_argument, "empty key");
  if (row.key.size() > max_key_bytes || row.sort.size() > max_key_bytes) return fail(ErrorCode::too_large, "key");
  if (is_internal(row.key) && !(records_allowed && row.key == record_key)) {
    return fail(ErrorCode::invalid_argument, "reserved key");
  }
  return {};
}

class BatchCheck {
 public:
  Status check(const Batch& batch) {
    if (batch.sequence == 0 || batch.first_incomplete > batch.sequence) {
      return fail(ErrorCode::invalid_argument, "sequence");
    }
    if (batch.expires > max_stamp) return fail(ErrorCode::invalid_argument, "expiry");
    for (const Condition& condition : batch.conditions) {
      if (Status status = check_condition(condition); !status) return status;
    }
    for (const Mutation& mutation : batch.mutations) {
      if (Status status = check_mutation(mutation, false); !status) return status;
    }
    return check_totals();
  }

 private:
  Status check_condition(const Condition& condition) {
    count(condition.row, condition.value.size());
    if (Status status = check_row(condition.row, true); !status) return status;
    switch (condition.kind) {
      case Condition::Kind::absent:
      case Condition::Kind::present:
      case Condition::Kind::version_equals:
      case Condition::Kind::empty_prefix: return {};
      case Condition::Kind::value_equals:
      case Condition::Kind::bytes_equal: return check_extent(condition.offset, condition.value.size());
    }
    return fail(ErrorCode::invalid_argument, "condition kind");
  }

  Status check_mutation(const Mutation& mutation, bool nested) {
    count(mutation.row, mutation.value.size());
    switch (mutation.kind) {
      case Mutation::Kind::prepare:
      case Mutation::Kind::resolve:
        if (nested) return fail(ErrorCode::invalid_argument, "nested transaction");
        return check_transaction(mutation);
      case Mutation::Kind::put:
        if (Status status = check_row(mutation.row, !nested); !status) return status;
        return check_extent(0, mutation.value.size());
      case Mutation::Kind::erase: return check_row(mutation.row, !nested);
      case Mutation::Kind::erase_prefix:
        // Rows that come or are read between prepare and resolve would have to be locked, too, without being known.
        if (nested) return fail(ErrorCode::invalid_argument, "a prefix erased by a transaction");
        return check_row(mutation.row, false);
      case Mutation::Kind::add_i64:
      case Mutation::Kind::max_i64:
        if (Status status = check_row(mutation.row, false); !status) return status;
        return check_extent(mutation.offset, 8);
      case Mutation::Kind::write_bytes:
        if (Status status = check_row(mutation.row, false); !status) return status;
        return check_extent(mutation.offset, mutation.value.size());
      case Mutation::Kind::truncate:
        if (Status status = check_row(mutation.row, false); !status) return status;
        if (mutation.number < 0) return fail(ErrorCode::invalid_argument, "negative length");
        if (static_cast<std::uint64_t>(mutation.number) > max_value_bytes) return fail(ErrorCode::too_large, "length");
        return {};
    }
    return fail(ErrorCode::invalid_argument, "mutation kind");
  }

  Status check_transaction(const Mutation& mutation) {
    if (mutation.kind == Mutation::Kind::resolve) {
      if (mutation.number != 0 && mutation.number != 1) return fail(ErrorCode::invalid_argument, "resolve");
      return {};
    }
    for (const RowAddress& row : mutation.locks) {
      count(row, 0);
      if (Status status = check_row(row, false); !status) return status;
    }
    for (const Mutation& part : mutation.part) {
      if (Status status = check_mutation(part, true); !status) return status;
    }
    return {};
  }

  static Status check_extent(std::size_t offset, std::size_t size) {
    if (offset > max_value_bytes || size > max_value_bytes - offset) return fail(ErrorCode::too_large, "value");
    return {};
  }

  void count(const RowAddress& row, std::size_t value_size) {
    ++items_;
    bytes_ += row.key.size() + row.sort.size() + value_size + item_overhead_bytes;
  }

  Status check_totals() const {
    if (items_ > max_batch_items) return fail(ErrorCode::too_large, "too many conditions and mutations");
    if (bytes_ > max_batch_bytes) return fail(ErrorCode::too_large, "batch");
    return {};
  }

  std::size_t items_ = 0;
  std::size_t bytes_ = batch_overhead_bytes;
};

Status check_read(const std::string& key, const std::string& sort) {
  if (key.empty()) return fail(ErrorCode::invalid_argument, "empty key");
  std::size_t limit = is_internal(key) ? max_internal_sort_bytes : max_key_bytes;
  if (key.size() > max_key_bytes || sort.size() > limit) return fail(ErrorCode::too_large, "key");
  return {};
}

}  // namespace

Status validate(const Batch& batch) { return BatchCheck().check(batch); }

Status validate(const ReadRequest& request) {
  if (request.gets.size() + request.scans.size() > max_read_items) {
    return fail(ErrorCode::too_large, "too many gets and scans");
  }
  std::size_t bytes = batch_overhead_bytes;
  for (const RowAddress& row : request.gets) {
    if (Status status = check_read(row.key, row.sort); !status) return status;
    bytes += row.key.size() + row.sort.size() + item_overhead_bytes;
  }
  for (const ReadRequest::Scan& scan : request.scans) {
    if (Status status = check_read(scan.key, scan.prefix); !status) return status;
    if (Status status = check_read(scan.key, scan.after); !status) return status;
    if (scan.max_rows == 0) return fail(ErrorCode::invalid_argument, "scan of no rows");
    bytes += scan.key.size() + scan.prefix.size() + scan.after.size() + item_overhead_bytes;
  }
  if (bytes > max_batch_bytes) return fail(ErrorCode::too_large, "read request");
  return {};
}

}  // namespace ringfs

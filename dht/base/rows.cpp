// Encodings of batches, results and reads. All integers big-endian, strings with a 32-bit length (docs/disk-format.md).
//
// A value is a tag and either the bytes themselves (inline) or the length of the next blob. Only the fields that a kind
// uses are written, so that the log stays small; the others come back with their defaults.
#include "dht/base/rows.hpp"

#include "dht/base/hash.hpp"

namespace ringfs {

std::uint64_t row_hash(const RowAddress& row) { return checksum(row.sort, checksum(row.key)); }

const std::string record_key("\0record", 7);

namespace {

constexpr std::uint8_t batch_format = 1;
constexpr std::uint8_t part_format = 1;
constexpr std::uint8_t read_format = 1;
constexpr std::uint8_t reply_format = 1;
constexpr std::uint8_t value_inline = 0;
constexpr std::uint8_t value_blob = 1;
constexpr std::size_t smallest_item = 2;  // of a condition or mutation; bounds a count before anything is allocated
constexpr std::size_t smallest_row = 17;  // sort, version, value
constexpr std::size_t record_ref_bytes = 28;

// Writes values inline or, when there is a list of blobs, beside the head.
class ValueWriter {
 public:
  ValueWriter(Writer& writer, std::vector<SharedBytes>* blobs) : writer_(writer), blobs_(blobs) {}

  void value(const SharedBytes& value) {
    if (blobs_ != nullptr && value.size() >= payload_threshold) {
      writer_.u8(value_blob);
      writer_.u32(static_cast<std::uint32_t>(value.size()));
      blobs_->push_back(value);
    } else {
      writer_.u8(value_inline);
      writer_.string(value.view());
    }
  }

  Writer& head() { return writer_; }

 private:
  Writer& writer_;
  std::vector<SharedBytes>* blobs_;
};

// Reads values back. With a shared head, inline values are slices of it; otherwise they are copies.
class ValueReader {
 public:
  ValueReader(Reader& reader, const SharedBytes* head, const std::vector<SharedBytes>* blobs)
      : reader_(reader), head_(head), blobs_(blobs) {}

  SharedBytes value() {
    std::uint8_t tag = reader_.u8();
    if (tag == value_inline) {
      std::string_view bytes = reader_.string();
      if (!reader_.ok() || bytes.empty()) return {};
      if (head_ == nullptr) return SharedBytes(std::string(bytes));
      return SharedBytes(*head_, static_cast<std::size_t>(bytes.data() - head_->data()), bytes.size());
    }
    std::uint32_t size = reader_.u32();
    if (tag != value_blob || !reader_.ok() || blobs_ == nullptr || next_blob_ >= blobs_->size() ||
        (*blobs_)[next_blob_].size() != size || size < payload_threshold) {
      reader_.fail();
      return {};
    }
    return (*blobs_)[next_blob_++];
  }

  bool all_blobs_used() const { return blobs_ == nullptr || next_blob_ == blobs_->size(); }
  Reader& head() { return reader_; }

 private:
  Reader& reader_;
  const SharedBytes* head_;
  const std::vector<SharedBytes>* blobs_;
  std::size_t next_blob_ = 0;
};

void write(Writer& writer, const RowAddress& row) {
  writer.string(row.key);
  writer.string(row.sort);
}

RowAddress read_address(Reader& reader) {
  RowAddress row;
  row.key = reader.string();
  row.sort = reader.string();
  return row;
}

void write(ValueWriter& writer, const Condition& condition) {
  Writer& head = writer.head();
  head.u8(static_cast<std::uint8_t>(condition.kind));
  write(head, condition.row);
  switch (condition.kind) {
    case Condition::Kind::version_equals: head.u64(condition.version); break;
    case Condition::Kind::value_equals: writer.value(condition.value); break;
    case Condition::Kind::bytes_equal:
      head.u32(condition.offset);
      writer.value(condition.value);
      break;
    case Condition::Kind::absent:
    case Condition::Kind::present:
    case Condition::Kind::empty_prefix: break;
  }
}

Condition read_condition(ValueReader& reader) {
  Reader& head = reader.head();
  Condition condition;
  condition.kind = static_cast<Condition::Kind>(head.u8());
  condition.row = read_address(head);
  switch (condition.kind) {
    case Condition::Kind::version_equals: condition.version = head.u64(); break;
    case Condition::Kind::value_equals: condition.value = reader.value(); break;
    case Condition::Kind::bytes_equal:
      condition.offset = head.u32();
      condition.value = reader.value();
      break;
    case Condition::Kind::absent:
    case Condition::Kind::present:
    case Condition::Kind::empty_prefix: break;
    default: head.fail();
  }
  return condition;
}

void write(ValueWriter& writer, const Mutation& mutation);

void write_mutations(ValueWriter& writer, const std::vector<Mutation>& mutations) {
  writer.head().u32(static_cast<std::uint32_t>(mutations.size()));
  for (const Mutation& mutation : mutations) write(writer, mutation);
}

void write(ValueWriter& writer, const Mutation& mutation) {
  Writer& head = writer.head();
  head.u8(static_cast<std::uint8_t>(mutation.kind));
  if (mutation.kind == Mutation::Kind::prepare) {
    write(head, mutation.record);
    head.u32(static_cast<std::uint32_t>(mutation.locks.size()));
    for (const RowAddress& row : mutation.locks) write(head, row);
    write_mutations(writer, mutation.part);
    return;
  }
  if (mutation.kind == Mutation::Kind::resolve) {
    write(head, mutation.record);
    head.i64(mutation.number);
    return;
  }
  write(head, mutation.row);
  switch (mutation.kind) {
    case Mutation::Kind::put: writer.value(mutation.value); break;
    case Mutation::Kind::write_bytes:
      head.u32(mutation.offset);
      writer.value(mutation.value);
      break;
    case Mutation::Kind::add_i64:
    case Mutation::Kind::max_i64:
      head.u32(mutation.offset);
      head.i64(mutation.number);
      break;
    case Mutation::Kind::truncate: head.i64(mutation.number); break;
    case Mutation::Kind::erase:
    case Mutation::Kind::erase_prefix:
    case Mutation::Kind::prepare:
    case Mutation::Kind::resolve: break;
  }
}

std::vector<Mutation> read_mutations(ValueReader& reader, bool nested);

Mutation read_mutation(ValueReader& reader, bool nested) {
  Reader& head = reader.head();
  Mutation mutation;
  mutation.kind = static_cast<Mutation::Kind>(head.u8());
  if (mutation.kind == Mutation::Kind::prepare || mutation.kind == Mutation::Kind::resolve) {
    if (nested) {  // a part inside a part is never written; refuse it, so that recursion ends
      head.fail();
      return mutation;
    }
    mutation.record = read_record_ref(head);
    if (mutation.kind == Mutation::Kind::resolve) {
      mutation.number = head.i64();
      return mutation;
    }
    std::size_t locks = head.count(8);
    for (std::size_t i = 0; i < locks && head.ok(); ++i) mutation.locks.push_back(read_address(head));
    mutation.part = read_mutations(reader, true);
    return mutation;
  }
  mutation.row = read_address(head);
  switch (mutation.kind) {
    case Mutation::Kind::put: mutation.value = reader.value(); break;
    case Mutation::Kind::write_bytes:
      mutation.offset = head.u32();
      mutation.value = reader.value();
      break;
    case Mutation::Kind::add_i64:
    case Mutation::Kind::max_i64:
      mutation.offset = head.u32();
      mutation.number = head.i64();
      break;
    case Mutation::Kind::truncate: mutation.number = head.i64(); break;
    case Mutation::Kind::erase:
    case Mutation::Kind::erase_prefix: break;
    default: head.fail();
  }
  return mutation;
}

std::vector<Mutation> read_mutations(ValueReader& reader, bool nested) {
  std::size_t count = reader.head().count(smallest_item);
  std::vector<Mutation> mutations;
  for (std::size_t i = 0; i < count && reader.head().ok(); ++i) mutations.push_back(read_mutation(reader, nested));
  return mutations;
}

void write(ValueWriter& writer, const Row& row) {
  writer.head().string(row.sort);
  writer.head().u64(row.version);
  writer.value(row.value);
}

Row read_row(ValueReader& reader) {
  Row row;
  row.sort = reader.head().string();
  row.version = reader.head().u64();
  row.value = reader.value();
  return row;
}

std::size_t total_bytes(const SharedBytes& head, const std::vector<SharedBytes>& blobs) {
  std::size_t total = head.size();
  for (const SharedBytes& blob : blobs) total += blob.size();
  return total;
}

}  // namespace

std::string record_sort(const TransactionId& id) {
  Writer writer;
  writer.u64(id.started);
  write(writer, id.random);
  return writer.take();
}

void write(Writer& writer, const RecordRef& record) {
  writer.u32(index_of(record.partition));
  writer.u64(record.id.started);
  write(writer, record.id.random);
}

RecordRef read_record_ref(Reader& reader) {
  RecordRef record;
  record.partition = static_cast<PartitionId>(reader.u32());
  record.id.started = reader.u64();
  record.id.random = read_uuid(reader);
  return record;
}

std::size_t EncodedBatch::size() const { return total_bytes(head, blobs); }

EncodedBatch encode(const Batch& batch) {
  EncodedBatch encoded;
  Writer head;
  ValueWriter writer(head, &encoded.blobs);
  head.u8(batch_format);
  write(head, batch.client);
  head.u64(batch.sequence);
  head.u64(batch.first_incomplete);
  head.i64(batch.expires.microseconds);
  head.u32(static_cast<std::uint32_t>(batch.conditions.size()));
  for (const Condition& condition : batch.conditions) write(writer, condition);
  write_mutations(writer, batch.mutations);
  encoded.head = head.take();
  return encoded;
}

Result<Batch> decode_batch(const SharedBytes& head, const std::vector<SharedBytes>& blobs) {
  if (total_bytes(head, blobs) > max_batch_bytes) return fail(ErrorCode::too_large, "batch");
  Reader reader(head.view());
  ValueReader values(reader, &head, &blobs);
  if (reader.u8() != batch_format) return fail(ErrorCode::corrupt, "batch format");
  Batch batch;
  batch.client = read_uuid(reader);
  batch.sequence = reader.u64();
  batch.first_incomplete = reader.u64();
  batch.expires.microseconds = reader.i64();
  std::size_t conditions = reader.count(smallest_item);
  for (std::size_t i = 0; i < conditions && reader.ok(); ++i) batch.conditions.push_back(read_condition(values));
  batch.mutations = read_mutations(values, false);
  if (!reader.done() || !values.all_blobs_used()) return fail(ErrorCode::corrupt, "batch");
  return batch;
}

std::string encode(const BatchResult& result) {
  Writer writer;
  writer.u8(static_cast<std::uint8_t>(result.outcome));
  writer.i64(result.stamp.microseconds);
  switch (result.outcome) {
    case BatchResult::Outcome::applied: writer.u64(result.version); break;
    case BatchResult::Outcome::condition_failed: writer.u32(result.failed_condition); break;
    case BatchResult::Outcome::locked: write(writer, result.lock); break;
    case BatchResult::Outcome::expired:
    case BatchResult::Outcome::superseded:
    case BatchResult::Outcome::invalid: break;
  }
  return writer.take();
}

Result<BatchResult> decode_batch_result(std::string_view bytes) {
  Reader reader(bytes);
  BatchResult result;
  result.outcome = static_cast<BatchResult::Outcome>(reader.u8());
  result.stamp.microseconds = reader.i64();
  switch (result.outcome) {
    case BatchResult::Outcome::applied: result.version = reader.u64(); break;
    case BatchResult::Outcome::condition_failed: result.failed_condition = reader.u32(); break;
    case BatchResult::Outcome::locked: result.lock = read_record_ref(reader); break;
    case BatchResult::Outcome::expired:
    case BatchResult::Outcome::superseded:
    case BatchResult::Outcome::invalid: break;
    default: reader.fail();
  }
  if (!reader.done()) return fail(ErrorCode::corrupt, "batch result");
  return result;
}

std::string encode_part(const std::vector<Mutation>& part) {
  Writer head;
  ValueWriter writer(head, nullptr);
  head.u8(part_format);
  write_mutations(writer, part);
  return head.take();
}

Result<std::vector<Mutation>> decode_part(std::string_view bytes) {
  if (bytes.size() > max_batch_bytes) return fail(ErrorCode::too_large, "transaction part");
  Reader reader(bytes);
  ValueReader values(reader, nullptr, nullptr);
  if (reader.u8() != part_format) return fail(ErrorCode::corrupt, "transaction part format");
  std::vector<Mutation> part = read_mutations(values, true);
  if (!reader.done()) return fail(ErrorCode::corrupt, "transaction part");
  return part;
}

std::string encode(const ReadRequest& request) {
  Writer writer;
  writer.u8(read_format);
  writer.u32(static_cast<std::uint32_t>(request.gets.size()));
  for (const RowAddress& row : request.gets) write(writer, row);
  writer.u32(static_cast<std::uint32_t>(request.scans.size()));
  for (const ReadRequest::Scan& scan : request.scans) {
    writer.string(scan.key);
    writer.string(scan.prefix);
    writer.string(scan.after);
    writer.u32(scan.max_rows);
    writer.boolean(scan.values);
  }
  return writer.take();
}

Result<ReadRequest> decode_read_request(std::string_view bytes) {
  if (bytes.size() > max_batch_bytes) return fail(ErrorCode::too_large, "read request");
  Reader reader(bytes);
  if (reader.u8() != read_format) return fail(ErrorCode::corrupt, "read request format");
  ReadRequest request;
  std::size_t gets = reader.count(8);
  for (std::size_t i = 0; i < gets && reader.ok(); ++i) request.gets.push_back(read_address(reader));
  std::size_t scans = reader.count(17);
  for (std::size_t i = 0; i < scans && reader.ok(); ++i) {
    ReadRequest::Scan scan;
    scan.key = reader.string();
    scan.prefix = reader.string();
    scan.after = reader.string();
    scan.max_rows = reader.u32();
    scan.values = reader.boolean();
    request.scans.push_back(std::move(scan));
  }
  if (!reader.done()) return fail(ErrorCode::corrupt, "read request");
  return request;
}

EncodedBatch encode(const ReadReply& reply) {
  EncodedBatch encoded;
  Writer head;
  ValueWriter writer(head, &encoded.blobs);
  head.u8(reply_format);
  head.u32(static_cast<std::uint32_t>(reply.gets.size()));
  for (const ReadReply::Get& get : reply.gets) {
    head.boolean(get.found);
    if (get.found) write(writer, get.row);
    head.u8(static_cast<std::uint8_t>(get.locks.size()));
    for (const RecordRef& lock : get.locks) write(head, lock);
  }
  head.u32(static_cast<std::uint32_t>(reply.scans.size()));
  for (const ReadReply::ScanResult& scan : reply.scans) {
    head.u32(static_cast<std::uint32_t>(scan.rows.size()));
    for (const Row& row : scan.rows) write(writer, row);
    head.boolean(scan.more);
    head.u32(static_cast<std::uint32_t>(scan.locks.size()));
    for (const RecordRef& lock : scan.locks) write(head, lock);
  }
  encoded.head = head.take();
  return encoded;
}

Result<ReadReply> decode_read_reply(const SharedBytes& head, const std::vector<SharedBytes>& blobs) {
  // execute_read counts max_reply_bytes before the encoding's own lengths and locks are added.
  if (total_bytes(head, blobs) > 2 * max_reply_bytes) return fail(ErrorCode::too_large, "read reply");
  Reader reader(head.view());
  ValueReader values(reader, &head, &blobs);
  if (reader.u8() != reply_format) return fail(ErrorCode::corrupt, "read reply format");
  ReadReply reply;
  std::size_t gets = reader.count(2);
  for (std::size_t i = 0; i < gets && reader.ok(); ++i) {
    ReadReply::Get get;
    get.found = reader.boolean();
    if (get.found) get.row = read_row(values);
    std::size_t locks = reader.u8();
    for (std::size_t j = 0; j < locks && reader.ok(); ++j) get.locks.push_back(read_record_ref(reader));
    reply.gets.push_back(std::move(get));
  }
  std::size_t scans = reader.count(9);
  for (std::size_t i = 0; i < scans && reader.ok(); ++i) {
    ReadReply::ScanResult scan;
    std::size_t rows = reader.count(smallest_row);
    for (std::size_t j = 0; j < rows && reader.ok(); ++j) scan.rows.push_back(read_row(values));
    scan.more = reader.boolean();
    std::size_t locks = reader.count(record_ref_bytes);
    for (std::size_t j = 0; j < locks && reader.ok(); ++j) scan.locks.push_back(read_record_ref(reader));
    reply.scans.push_back(std::move(scan));
  }
  if (!reader.done() || !values.all_blobs_used()) return fail(ErrorCode::corrupt, "read reply");
  return reply;
}

}  // namespace ringfs

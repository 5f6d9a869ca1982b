// Claiming the rows of a partition.
#include "fs/claims.hpp"

#include "fs/change_set.hpp"
#include "fs/names/keys.hpp"
#include "fs/read_rows.hpp"

namespace ringfs::fs {

std::string encode(const std::vector<LogMark>& marks) {
  Writer writer;
  writer.u32(static_cast<std::uint32_t>(marks.size()));
  for (const LogMark& mark : marks) {
    writer.u64(mark.version);
    writer.i64(mark.stamp.microseconds);
  }
  return writer.take();
}

Result<std::vector<LogMark>> decode_marks(std::string_view bytes) {
  Reader reader(bytes);
  std::vector<LogMark> marks;
  const std::size_t count = reader.count(mark_bytes);
  for (std::size_t i = 0; i < count && reader.ok(); ++i) {
    LogMark mark;
    mark.version = reader.u64();
    mark.stamp.microseconds = reader.i64();
    const bool rises = marks.empty() || (mark.version > marks.back().version && mark.stamp >= marks.back().stamp);
    if (!rises) return fail(ErrorCode::corrupt, "marks of claims");
    marks.push_back(mark);
  }
  if (!reader.done() || marks.size() > max_marks) return fail(ErrorCode::corrupt, "marks of claims");
  return marks;
}

Task<Result<RowAges>> Claims::claim(ObjectStore& store, PartitionId partition, TimePoint deadline) {
  const RowAddress row = claim_row(partition, store.partition_bits());
  RowAddress wanted = row;
  Result<ReadReply::Get> get = co_await read_row(store, std::move(wanted), deadline);
  if (!get) co_return tl::unexpected(get.error());
  const std::uint64_t version = get->found ? get->row.version : 0;
  std::vector<LogMark> marks;
  auto own = last_.find(partition);
  if (own != last_.end() && own->second.marks().back().version == version) {
    marks = own->second.marks();
  } else if (get->found) {
    Result<std::vector<LogMark>> stored = decode_marks(get->row.value.view());
    if (!stored) co_return tl::unexpected(stored.error());
    marks = std::move(*stored);
  }
  if (!marks.empty()) marks = worth_keeping(marks, marks.back().stamp);
  CommitRequest claim;
  claim.conditions.push_back(version_equals(row, version));
  claim.mutations.push_back(put(row, SharedBytes(encode(marks))));
  Result<CommitReply> claimed = co_await store.commit(std::move(claim), deadline);
  if (!claimed) co_return tl::unexpected(claimed.error());
  if (!claimed->applied) co_return fail(ErrorCode::aborted, "another janitor claims");
  marks.push_back({claimed->version, claimed->stamp});
  RowAges ages(std::move(marks), claimed->stamp);
  last_.insert_or_assign(partition, ages);
  co_return ages;
}

}  // namespace ringfs::fs

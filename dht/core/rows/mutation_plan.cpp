// What each kind of mutation does to the image of a row.
#include "dht/core/rows/mutation_plan.hpp"

#include <algorithm>
#include <limits>

namespace ringfs::dht {

namespace {

// A transaction's parts in one partition are kept in one row; metadata, never file contents.
constexpr std::size_t max_part_row_bytes = max_value_bytes;

bool starts_with(const RowAddress& row, const RowAddress& prefix) {
  return row.key == prefix.key && row.sort.starts_with(prefix.sort);
}

std::string big_endian(std::int64_t value) {
  Writer writer;
  writer.i64(value);
  return writer.take();
}

}  // namespace

Status MutationPlan::add(const Mutation& mutation) { return apply(mutation, Overflow::refuse); }

Status MutationPlan::apply(const Mutation& mutation, Overflow overflow) {
  switch (mutation.kind) {
    case Mutation::Kind::put: put(mutation.row, mutation.value); return {};
    case Mutation::Kind::erase: erase(mutation.row); return {};
    case Mutation::Kind::erase_prefix: erase_prefix(mutation.row); return {};
    case Mutation::Kind::add_i64:
    case Mutation::Kind::max_i64: return arithmetic(mutation, overflow);
    case Mutation::Kind::write_bytes: write_bytes(mutation); return {};
    case Mutation::Kind::truncate: truncate(mutation); return {};
    case Mutation::Kind::prepare: return prepare(mutation);
    case Mutation::Kind::resolve: return resolve(mutation);
  }
  return fail(ErrorCode::invalid_argument, "mutation kind");
}

Status MutationPlan::arithmetic(const Mutation& mutation, Overflow overflow) {
  const std::optional<SharedBytes>& value = current(mutation.row);
  if (!value || value->size() < 8 || value->size() - 8 < mutation.offset) return {};
  Reader reader(value->view().substr(mutation.offset, 8));
  const std::int64_t before = reader.i64();
  std::int64_t after = before;
  if (mutation.kind == Mutation::Kind::max_i64) {
    after = std::max(before, mutation.number);
  } else if (__builtin_add_overflow(before, mutation.number, &after)) {
    if (overflow == Overflow::refuse) return fail(ErrorCode::invalid_argument, "overflow");
    after = mutation.number > 0 ? std::numeric_limits<std::int64_t>::max() : std::numeric_limits<std::int64_t>::min();
  }
  // An unchanged row gets the entry's version like a changed one: every row that a batch names is written.
  overwrite(mutation.row, mutation.offset, SharedBytes(big_endian(after)));
  return {};
}

void MutationPlan::write_bytes(const Mutation& mutation) {
  const std::optional<SharedBytes>& value = image(mutation.row).value;
  const std::size_t end = mutation.offset + mutation.value.size();
  if (value && value->size() >= end) {
    overwrite(mutation.row, mutation.offset, mutation.value);
    return;
  }
  if (mutation.offset == 0 && (!value || value->size() <= end)) {
    put(mutation.row, mutation.value);  // the whole row: shares the payload
    return;
  }
  const std::optional<SharedBytes>& whole = current(mutation.row);
  std::string grown = whole ? whole->str() : std::string();
  grown.resize(end, '\0');
  grown.replace(mutation.offset, mutation.value.size(), mutation.value.view());
  put(mutation.row, SharedBytes(std::move(grown)));
}

void MutationPlan::truncate(const Mutation& mutation) {
  const std::optional<SharedBytes>& value = current(mutation.row);
  if (!value && mutation.number == 0) return;
  std::string resized = value ? value->str() : std::string();
  resized.resize(static_cast<std::size_t>(mutation.number), '\0');
  put(mutation.row, SharedBytes(std::move(resized)));
}

// The part's row: for each prepare, the rows it holds and its encoded part.
Status MutationPlan::prepare(const Mutation& mutation) {
  Holding holding = holding_of(mutation);
  if (no_add_locks_) holding.additions.clear();
  std::set<RowAddress> held = holding.alone;
  for (const auto& [row, additions] : holding.additions) held.insert(row);
  const RowAddress part_row{part_key, part_sort(mutation.record)};
  Writer writer;
  const std::optional<SharedBytes>& earlier = current(part_row);
  if (earlier) writer.raw(earlier->view());
  writer.u32(static_cast<std::uint32_t>(held.size()));
  for (const RowAddress& row : held) {
    writer.string(row.key);
    writer.string(row.sort);
  }
  writer.string(encode_part(mutation.part));
  if (writer.size() > max_part_row_bytes) return fail(ErrorCode::invalid_argument, "transaction too large");
  put(part_row, SharedBytes(writer.take()));
  hold(mutation, holding);
  return {};
}

// find_lock() saw that nobody is in the way.
void MutationPlan::hold(const Mutation& prepare, const Holding& holding) {
  for (const RowAddress& row : holding.alone) {
    put({lock_key, lock_sort(row.key, row.sort)}, SharedBytes(encode({RowHolder{prepare.record, std::nullopt}})));
  }
  for (const auto& [row, additions] : holding.additions) {
    const RowAddress lock_row{lock_key, lock_sort(row.key, row.sort)};
    const std::optional<SharedBytes>& lock = current(lock_row);
    std::vector<RowHolder> holders = lock ? decode_row_holders(lock->view()) : std::vector<RowHolder>();
    if (!holders.empty() && !holders.front().addition)
      continue;  // an earlier prepare of the same transaction holds it alone
    for (const Addition& addition : additions) {
      const RowHolder holder{prepare.record, addition};
      if (std::find(holders.begin(), holders.end(), holder) == holders.end()) holders.push_back(holder);
    }
    put(lock_row, SharedBytes(encode(holders)));
  }
}

void MutationPlan::let_go(const RowAddress& row, const RecordRef& record) {
  const RowAddress lock_row{lock_key, lock_sort(row.key, row.sort)};
  const std::optional<SharedBytes>& lock = current(lock_row);
  if (!lock) return;
  std::vector<RowHolder> holders = decode_row_holders(lock->view());
  if (std::erase_if(holders, [&](const RowHolder& holder) { return holder.record == record; }) == 0) return;
  if (holders.empty()) {
    erase(lock_row);
  } else {
    put(lock_row, SharedBytes(encode(holders)));
  }
}

Status MutationPlan::resolve(const Mutation& mutation) {
  const RowAddress part_row{part_key, part_sort(mutation.record)};
  const std::optional<SharedBytes> kept = current(part_row);
  if (!kept) return {};  // resolved before, by whoever met it
  Reader reader(kept->view());
  while (!reader.done()) {
    const std::size_t locks = reader.count(8);
    for (std::size_t i = 0; i < locks && reader.ok(); ++i) {
      std::string key(reader.string());
      std::string sort(reader.string());
      let_go({std::move(key), std::move(sort)}, mutation.record);
    }
    Result<std::vector<Mutation>> part = decode_part(reader.string());
    if (!reader.ok() || !part) return fail(ErrorCode::invalid_argument, "kept part does not decode");
    if (mutation.number == 0) continue;
    for (const Mutation& change : *part) {
      if (Status status = apply(change, Overflow::saturate); !status) return status;
    }
  }
  erase(part_row);
  return {};
}

MutationPlan::Image& MutationPlan::image(const RowAddress& row) {
  auto [place, inserted] = images_.try_emplace(row);
  if (inserted) {
    bool gone = false;
    for (const RowAddress& prefix : erased_prefixes_) gone = gone || starts_with(row, prefix);
    if (!gone) {
      if (std::optional<Row> stored = rows_.get(row)) {
        place->second.value = std::move(stored->value);
        place->second.stored = true;
      }
    }
  }
  return place->second;
}

SharedBytes MutationPlan::patched(const Image& image) {
  std::string bytes = image.value->str();
  for (const auto& [offset, patch] : image.patches) bytes.replace(offset, patch.size(), patch.view());
  return SharedBytes(std::move(bytes));
}

const std::optional<SharedBytes>& MutationPlan::current(const RowAddress& row) {
  Image& known = image(row);
  if (!known.patches.empty()) {
    known.value = patched(known);
    known.patches.clear();
    known.stored = false;
  }
  return known.value;
}

void MutationPlan::put(const RowAddress& row, SharedBytes value) {
  images_[row] = Image{std::move(value), {}, true, false};
}

void MutationPlan::erase(const RowAddress& row) { images_[row] = Image{std::nullopt, {}, true, false}; }

void MutationPlan::erase_prefix(const RowAddress& row) {
  for (auto place = images_.lower_bound(row); place != images_.end() && starts_with(place->first, row); ++place) {
    place->second = Image{std::nullopt, {}, place->second.changed, false};
  }
  erased_prefixes_.push_back(row);
}

void MutationPlan::overwrite(const RowAddress& row, std::uint32_t offset, SharedBytes bytes) {
  Image& known = image(row);
  known.patches.emplace_back(offset, std::move(bytes));
  known.changed = true;
}

void MutationPlan::carry_out(RowWriter& rows, std::uint64_t index) const {
  for (const RowAddress& prefix : erased_prefixes_) rows.erase_prefix(prefix.key, prefix.sort);
  for (const auto& [row, image] : images_) {
    if (!image.changed) continue;
    if (!image.value) {
      rows.erase(row);
    } else if (image.stored && image.value->size() >= payload_threshold) {
      // A few bytes of a large row: in place.
      for (const auto& [offset, bytes] : image.patches) rows.overwrite(row, offset, bytes.view(), index);
    } else {
      rows.put(row, image.patches.empty() ? *image.value : patched(image), index);
    }
  }
}

}  // namespace ringfs::dht

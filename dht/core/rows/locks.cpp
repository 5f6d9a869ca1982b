// Reading locks, and which conditions and mutations they stop.
#include "dht/core/rows/locks.hpp"

#include <algorithm>
#include <limits>

namespace ringfs::dht {

const std::string lock_key("\0lock", 5);
const std::string part_key("\0part", 5);

namespace {

constexpr std::size_t addition_bytes = 8;  // an add_i64 or max_i64 changes 64 bits

bool adds(const Mutation& mutation) {
  return mutation.kind == Mutation::Kind::add_i64 || mutation.kind == Mutation::Kind::max_i64;
}

// What all of these do together to the place to which `one` of them adds.
Addition addition_of(const std::vector<Mutation>& mutations, const Mutation& one) {
  const bool both = std::any_of(mutations.begin(), mutations.end(), [&](const Mutation& other) {
    return adds(other) && other.kind != one.kind && other.offset == one.offset && other.row == one.row;
  });
  return {both ? Addition::Kind::move : static_cast<Addition::Kind>(one.kind), one.offset};
}

}  // namespace

std::string lock_sort(const std::string& key, const std::string& sort) {
  Writer writer;
  writer.string(key);
  writer.raw(sort);
  return writer.take();
}

std::string encode_record_ref(const RecordRef& record) {
  Writer writer;
  write(writer, record);
  return writer.take();
}

std::string part_sort(const RecordRef& record) { return encode_record_ref(record); }

// A holder alone is encoded as its record; one that adds, as its record, a kind and an offset.
std::string encode(const std::vector<RowHolder>& holders) {
  Writer writer;
  for (const RowHolder& holder : holders) {
    write(writer, holder.record);
    if (!holder.addition) continue;
    writer.u8(static_cast<std::uint8_t>(holder.addition->kind));
    writer.u32(holder.addition->offset);
  }
  return writer.take();
}

std::vector<RowHolder> decode_row_holders(std::string_view value) {
  std::vector<RowHolder> holders;
  Reader reader(value);
  while (reader.ok() && !reader.done()) {
    RowHolder holder{read_record_ref(reader), std::nullopt};
    if (!reader.done() || !holders.empty()) {
      Addition addition;
      addition.kind = static_cast<Addition::Kind>(reader.u8());
      addition.offset = reader.u32();
      holder.addition = addition;
    }
    holders.push_back(holder);
  }
  return holders;
}

Holding holding_of(const Mutation& prepare) {
  Holding holding;
  holding.alone.insert(prepare.locks.begin(), prepare.locks.end());
  for (const Mutation& change : prepare.part) {
    if (!adds(change)) holding.alone.insert(change.row);
  }
  for (const Mutation& change : prepare.part) {
    if (adds(change) && !holding.alone.contains(change.row))
      holding.additions[change.row].insert(addition_of(prepare.part, change));
  }
  return holding;
}

bool Locks::any() {
  if (!any_) {
    any_ = false;
    rows_.scan(lock_key, {}, {}, false, [this](Row&&) {
      any_ = true;
      return false;
    });
  }
  return *any_;
}

std::vector<RowHolder> Locks::holders(const RowAddress& row) {
  if (!any()) return {};
  std::optional<Row> lock = rows_.get({lock_key, lock_sort(row.key, row.sort)});
  return lock ? decode_row_holders(lock->value.view()) : std::vector<RowHolder>();
}

void Locks::scan(const std::string& key, const std::string& prefix, const std::string& after,
                 const std::function<bool(const std::string&, const std::vector<RowHolder>&)>& visit) {
  if (!any()) return;
  const std::size_t head = lock_sort(key, {}).size();
  rows_.scan(lock_key, lock_sort(key, prefix), after.empty() ? std::string() : lock_sort(key, after), true,
             [&](Row&& row) { return visit(row.sort.substr(head), decode_row_holders(row.value.view())); });
}

namespace {

// What a condition or a mutation has to do with the bytes of a row: [begin, end), and whether only by adding to them.
struct Touch {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
  std::optional<Addition> addition;
};

constexpr std::uint64_t any_end = std::numeric_limits<std::uint64_t>::max();
const Touch existence{0, 0, std::nullopt};  // no addition makes a row or takes it away
const Touch whole{0, any_end, std::nullopt};

Touch touch_of(const Addition& addition) {
  return {addition.offset, std::uint64_t{addition.offset} + addition_bytes, addition};
}

Touch touch_of(const Batch& batch, const Mutation& mutation) {
  switch (mutation.kind) {
    case Mutation::Kind::add_i64:
    case Mutation::Kind::max_i64: return touch_of(addition_of(batch.mutations, mutation));
    // From the row's beginning on: behind an addition's bytes it may make a row long enough for it.
    case Mutation::Kind::write_bytes: return {0, mutation.offset + mutation.value.size(), std::nullopt};
    default: return whole;
  }
}

Touch touch_of(const Condition& condition) {
  switch (condition.kind) {
    case Condition::Kind::absent:
    case Condition::Kind::present:
    case Condition::Kind::empty_prefix: return existence;
    case Condition::Kind::bytes_equal:
      return {condition.offset, condition.offset + condition.value.size(), std::nullopt};
    default: return whole;
  }
}

bool meets(const RowHolder& holder, const Touch& touch) {
  if (!holder.addition) return true;
  if (holder.addition == touch.addition)
    return false;  // in either order the sum, or the larger, is the same (or nearly, Addition)
  return touch.begin < holder.addition->offset + addition_bytes && holder.addition->offset < touch.end;
}

class LockSearch {
 public:
  LockSearch(const Batch& batch, Locks& locks) : batch_(batch), locks_(locks) {
    for (const Mutation& mutation : batch.mutations) {
      if (mutation.kind == Mutation::Kind::prepare) own_.insert(mutation.record);
    }
  }

  bool mutation(const Mutation& mutation) {
    switch (mutation.kind) {
      case Mutation::Kind::resolve: return false;
      case Mutation::Kind::erase_prefix: return prefix(mutation.row, whole, own_);
      case Mutation::Kind::prepare: return prepare(mutation);
      default: return row(mutation.row, touch_of(batch_, mutation), none_);
    }
  }

  bool condition(const Condition& condition) {
    const Touch touch = touch_of(condition);
    return condition.kind == Condition::Kind::empty_prefix ? prefix(condition.row, touch, own_)
                                                           : row(condition.row, touch, own_);
  }

  std::optional<RecordRef> found() const { return found_; }

 private:
  bool find(const std::vector<RowHolder>& holders, const Touch& touch, const std::set<RecordRef>& allowed) {
    for (const RowHolder& holder : holders) {
      if (allowed.contains(holder.record) || !meets(holder, touch)) continue;
      found_ = holder.record;
      return true;
    }
    return false;
  }

  bool row(const RowAddress& row, const Touch& touch, const std::set<RecordRef>& allowed) {
    return find(locks_.holders(row), touch, allowed);
  }

  bool prefix(const RowAddress& row, const Touch& touch, const std::set<RecordRef>& allowed) {
    locks_.scan(row.key, row.sort, {}, [&](const std::string&, const std::vector<RowHolder>& holders) {
      return !find(holders, touch, allowed);
    });
    return found_.has_value();
  }

  bool prepare(const Mutation& mutation) {
    const std::set<RecordRef> itself{mutation.record};
    const Holding holding = holding_of(mutation);
    for (const RowAddress& alone : holding.alone) {
      if (row(alone, whole, itself)) return true;
    }
    for (const auto& [added, additions] : holding.additions) {
      const std::vector<RowHolder> holders = locks_.holders(added);
      for (const Addition& addition : additions) {
        if (find(holders, touch_of(addition), itself)) return true;
      }
      if (holders.size() + additions.size() <= max_row_holders) continue;
      // Too many at a time: as if it could not pass.
      const auto other = std::find_if(holders.begin(), holders.end(),
                                      [&](const RowHolder& one) { return one.record != mutation.record; });
      if (other != holders.end()) {
        found_ = other->record;
        return true;
      }
    }
    return false;
  }

  const Batch& batch_;
  Locks& locks_;
  std::set<RecordRef> own_;
  const std::set<RecordRef> none_;
  std::optional<RecordRef> found_;
};

}  // namespace

std::optional<RecordRef> find_lock(const Batch& batch, Locks& locks) {
  if (!locks.any()) return std::nullopt;
  LockSearch search(batch, locks);
  for (const Condition& condition : batch.conditions) {
    if (search.condition(condition)) return search.found();
  }
  for (const Mutation& mutation : batch.mutations) {
    if (search.mutation(mutation)) return search.found();
  }
  return std::nullopt;
}

bool changes_held_row(const Batch& batch, Locks& locks) {
  return locks.any() && std::any_of(batch.mutations.begin(), batch.mutations.end(), [&](const Mutation& mutation) {
           const bool transaction =
               mutation.kind == Mutation::Kind::prepare || mutation.kind == Mutation::Kind::resolve;
           return !transaction && mutation.kind != Mutation::Kind::erase_prefix && !locks.holders(mutation.row).empty();
         });
}

}  // namespace ringfs::dht

#include "dht/core/locks.hpp"

#include <set>

namespace ringfs {

const std::string lock_key("\0lock", 5);
const std::string part_key("\0part", 5);

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

std::optional<RecordRef> Locks::holder(const RowAddress& row) {
  if (!any()) return std::nullopt;
  std::optional<Row> lock = rows_.get({lock_key, lock_sort(row.key, row.sort)});
  if (!lock) return std::nullopt;
  Reader reader(lock->value.view());
  return read_record_ref(reader);
}

void Locks::scan(const std::string& key, const std::string& prefix, const std::string& after,
                 const std::function<bool(const std::string&, const RecordRef&)>& visit) {
  if (!any()) return;
  const std::size_t head = lock_sort(key, {}).size();
  rows_.scan(lock_key, lock_sort(key, prefix), after.empty() ? std::string() : lock_sort(key, after), true,
             [&](Row&& row) {
               Reader reader(row.value.view());
               return visit(row.sort.substr(head), read_record_ref(reader));
             });
}

namespace {

class LockSearch {
 public:
  LockSearch(const Batch& batch, Locks& locks) : locks_(locks) {
    for (const Mutation& mutation : batch.mutations) {
      if (mutation.kind == Mutation::Kind::prepare) own_.insert(mutation.record);
    }
  }

  bool row(const RowAddress& row, const std::set<RecordRef>& allowed) {
    std::optional<RecordRef> holder = locks_.holder(row);
    if (!holder || allowed.contains(*holder)) return false;
    found_ = holder;
    return true;
  }

  bool prefix(const RowAddress& row, const std::set<RecordRef>& allowed) {
    locks_.scan(row.key, row.sort, {}, [&](const std::string&, const RecordRef& record) {
      if (allowed.contains(record)) return true;
      found_ = record;
      return false;
    });
    return found_.has_value();
  }

  bool mutation(const Mutation& mutation) {
    switch (mutation.kind) {
      case Mutation::Kind::resolve: return false;
      case Mutation::Kind::erase_prefix: return prefix(mutation.row, own_);
      case Mutation::Kind::prepare: {
        const std::set<RecordRef> itself{mutation.record};
        for (const RowAddress& lock : mutation.locks) {
          if (row(lock, itself)) return true;
        }
        for (const Mutation& part : mutation.part) {
          bool locking = part.kind == Mutation::Kind::put || part.kind == Mutation::Kind::erase ||
                         part.kind == Mutation::Kind::write_bytes || part.kind == Mutation::Kind::truncate;
          if (locking && row(part.row, itself)) return true;
          if (part.kind == Mutation::Kind::erase_prefix && prefix(part.row, itself)) return true;
        }
        return false;
      }
      default: return row(mutation.row, none_);
    }
  }

  bool condition(const Condition& condition) {
    return condition.kind == Condition::Kind::empty_prefix ? prefix(condition.row, own_) : row(condition.row, own_);
  }

  std::optional<RecordRef> found() const { return found_; }

 private:
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

}  // namespace ringfs

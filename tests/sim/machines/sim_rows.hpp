// The rows of one partition in memory, with a hash of all of them that is kept up to date by every change.
//
// The hash is a sum over rows, so equal contents give equal hashes whatever the order of changes was: replicas with the
// same applied index are compared by it. Threads: none of its own. Copies are cheap (values are shared).
#pragma once

#include <map>
#include <set>
#include <utility>
#include <vector>

#include "dht/core/rows/evaluate.hpp"

namespace ringfs::sim {

class SimRows : public dht::RowWriter {
 public:
  struct Stored {
    std::uint64_t version = 0;
    SharedBytes value;
  };

  std::optional<Row> get(const RowAddress& row) override;
  std::optional<std::uint64_t> version(const RowAddress& row) override;
  void scan(const std::string& key, const std::string& prefix, const std::string& after, bool values,
            const std::function<bool(Row&&)>& visit) override;
  void put(const RowAddress& row, const SharedBytes& value, std::uint64_t version) override;
  void erase(const RowAddress& row) override;
  void erase_prefix(const std::string& key, const std::string& prefix) override;
  void overwrite(const RowAddress& row, std::uint32_t offset, std::string_view bytes, std::uint64_t version) override;

  // The disk lost this row: whoever looks at it, at a range that has it, or puts something in its place meets damage,
  // once noticed by take_noticed(). `served`: there is no guard that would notice, and the row is not there.
  void rot(const RowAddress& row, bool served);
  bool any_rotten() const { return !rotten_.empty(); }
  bool take_noticed() { return std::exchange(noticed_, false); }
  bool rotten(const RowAddress& row) const { return rotten_.contains(row); }

  std::uint64_t hash() const { return hash_; }
  const std::map<RowAddress, Stored>& all() const { return rows_; }
  void clear();

  // Large values that were overwritten in part since the last call: before and after. DiskState decides whether a
  // log entry that shares the payload changes with it.
  struct Patch {
    SharedBytes before, after;
  };
  std::vector<Patch> take_patches() { return std::exchange(patches_, {}); }

 private:
  static std::uint64_t hash_of(const RowAddress& row, const Stored& stored);
  void remove(std::map<RowAddress, Stored>::iterator position);
  bool met(const RowAddress& row);  // true: it is taken for absent

  std::map<RowAddress, Stored> rows_;
  std::vector<Patch> patches_;
  std::set<RowAddress> rotten_;
  bool served_ = false;
  bool noticed_ = false;
  std::uint64_t hash_ = 0;
};

}  // namespace ringfs::sim

// One partition's rows in a std::map: for tests of the evaluator, the memory object store and the simulator.
// Threads: one. Copying takes a snapshot (payloads are shared).
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "dht/core/rows/evaluate.hpp"

namespace ringfs {

class MemoryRows : public dht::RowWriter {
 public:
  struct Stored {
    std::uint64_t version = 0;
    SharedBytes value;
    friend bool operator==(const Stored&, const Stored&) = default;
  };

  std::optional<Row> get(const RowAddress& row) override;
  std::optional<std::uint64_t> version(const RowAddress& row) override;
  void scan(const std::string& key, const std::string& prefix, const std::string& after, bool values,
            const std::function<bool(Row&&)>& visit) override;
  void put(const RowAddress& row, const SharedBytes& value, std::uint64_t version) override;
  void erase(const RowAddress& row) override;
  void erase_prefix(const std::string& key, const std::string& prefix) override;
  void overwrite(const RowAddress& row, std::uint32_t offset, std::string_view bytes, std::uint64_t version) override;

  const std::map<RowAddress, Stored>& all() const { return rows_; }
  std::uint64_t state_hash() const;  // of every row, its version and its value
  friend bool operator==(const MemoryRows& left, const MemoryRows& right) { return left.rows_ == right.rows_; }

 private:
  std::map<RowAddress, Stored> rows_;
};

}  // namespace ringfs

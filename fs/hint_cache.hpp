// A bounded memory of what was seen. A hint is only a guess: its user checks it against the ring in the same request.
//
// It has two generations instead of a list by age: when the young one is full it becomes the old one, and the old one
// is forgotten. Threads: one loop.
#pragma once

#include <map>
#include <optional>
#include <utility>

namespace ringfs::fs {

template <class Key, class Value>
class HintCache {
 public:
  explicit HintCache(std::size_t limit) : half_(limit / 2 + 1) {}

  std::optional<Value> get(const Key& key) const {
    if (auto place = young_.find(key); place != young_.end()) return place->second;
    if (auto place = old_.find(key); place != old_.end()) return place->second;
    return std::nullopt;
  }
  void put(const Key& key, Value value) {
    if (young_.size() >= half_) {
      old_ = std::move(young_);
      young_.clear();
    }
    young_[key] = std::move(value);
  }
  void erase(const Key& key) {
    young_.erase(key);
    old_.erase(key);
  }

 private:
  std::size_t half_;
  std::map<Key, Value> young_, old_;
};

}  // namespace ringfs::fs

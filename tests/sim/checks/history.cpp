// The search for an order of operations that explains what clients heard (Wing and Gong, with Lowe's memo).
#include "tests/sim/checks/history.hpp"

#include <algorithm>
#include <array>
#include <unordered_map>

#include "dht/base/error.hpp"
#include "dht/base/hash.hpp"

namespace ringfs::sim {

namespace {

using Set = std::array<std::uint64_t, max_history / 64>;

bool has(const Set& set, std::size_t i) { return (set[i / 64] >> (i % 64) & 1) != 0; }
void flip(Set& set, std::size_t i) { set[i / 64] ^= std::uint64_t{1} << (i % 64); }
bool contains(const Set& set, const Set& part) {
  for (std::size_t i = 0; i < set.size(); ++i) {
    if ((part[i] & ~set[i]) != 0) return false;
  }
  return true;
}

struct Place {
  Set done{};
  RegisterState state;
  friend bool operator==(const Place&, const Place&) = default;
};

struct HashPlace {
  std::size_t operator()(const Place& place) const {
    std::uint64_t hash = checksum({reinterpret_cast<const char*>(place.done.data()), sizeof place.done});
    return hash ^ (static_cast<std::uint64_t>(place.state.value) * 0x9E3779B97F4A7C15u) ^
           (place.state.present ? 1u : 0u);
  }
};

// The state after the operation. No value: with the outcome that was heard it cannot have happened here.
std::optional<RegisterState> next(const RegisterOperation& operation, const RegisterState& state) {
  using Kind = RegisterOperation::Kind;
  const bool heard = operation.returned != never;
  switch (operation.kind) {
    case Kind::read:
      if (heard && operation.seen != state) return std::nullopt;
      return state;
    case Kind::write: return RegisterState{true, operation.argument};
    case Kind::erase: return RegisterState{};
    case Kind::add: return state.present ? RegisterState{true, state.value + operation.argument} : state;
    case Kind::compare_and_set: {
      bool matches = state == operation.expected;
      if (heard && matches != operation.applied) return std::nullopt;
      return matches ? RegisterState{true, operation.argument} : state;
    }
  }
  return std::nullopt;
}

// Which operations without an answer can be left out without changing the verdict: with two dozen of them the search
// would try every subset. Such a write, compare-and-set or erase matters only if somebody saw its value, possibly with
// additions, or saw that another value was not there (a compare-and-set that was refused). Otherwise the state before
// it serves as well for everything up to the next write.
class Needs {
 public:
  explicit Needs(const std::vector<RegisterOperation>& history) {
    for (const RegisterOperation& operation : history) {
      if (operation.kind != RegisterOperation::Kind::add) continue;
      (operation.argument < 0 ? least_added_ : most_added_) += operation.argument;
    }
  }

  bool needed(const RegisterOperation& operation, const std::vector<RegisterOperation>& history) const {
    using Kind = RegisterOperation::Kind;
    if (operation.returned != never || operation.kind == Kind::add) return true;
    const RegisterState made =
        operation.kind == Kind::erase ? RegisterState{} : RegisterState{true, operation.argument};
    return std::any_of(history.begin(), history.end(), [&](const RegisterOperation& other) {
      if (&other == &operation || other.returned < operation.called) return false;
      if (other.kind == Kind::read) return may_become(made, other.seen);
      if (other.kind != Kind::compare_and_set) return false;
      return (other.returned != never && !other.applied) || may_become(made, other.expected);
    });
  }

 private:
  bool may_become(const RegisterState& made, const RegisterState& seen) const {
    if (!made.present || !seen.present) return made.present == seen.present;
    return seen.value >= made.value + least_added_ && seen.value <= made.value + most_added_;
  }

  std::int64_t least_added_ = 0, most_added_ = 0;
};

void drop_what_nobody_needs(std::vector<RegisterOperation>& history) {
  const Needs needs(history);
  bool dropped = true;
  while (dropped) {  // what one needed may go when it is gone
    auto idle = std::find_if(history.begin(), history.end(),
                             [&](const auto& operation) { return !needs.needed(operation, history); });
    dropped = idle != history.end();
    if (dropped) history.erase(idle);
  }
}

class Search {
 public:
  explicit Search(std::vector<RegisterOperation> history) : history_(std::move(history)) {
    // A read without an answer constrains nothing.
    std::erase_if(history_, [](const RegisterOperation& operation) {
      return operation.returned == never && operation.kind == RegisterOperation::Kind::read;
    });
    drop_what_nobody_needs(history_);
    std::sort(history_.begin(), history_.end(),
              [](const auto& left, const auto& right) { return left.called < right.called; });
    for (std::size_t i = 0; i < history_.size(); ++i) {
      if (history_[i].returned == never) continue;
      flip(is_heard_, i);
      ++heard_;
    }
  }

  Verdict run() {
    if (from({}, 0, 0)) return Verdict::linearizable;
    return steps_ > max_search_steps ? Verdict::undecided : Verdict::not_linearizable;
  }

 private:
  // `first`: everything before it is done. Depth is bounded by max_history.
  bool from(Place place, std::size_t done, std::size_t first) {
    if (done == heard_) return true;
    if (++steps_ > max_search_steps || seen(place)) return false;
    while (first < history_.size() && has(place.done, first)) ++first;
    TimePoint earliest_return = never;
    for (std::size_t i = first; i < history_.size() && history_[i].called <= earliest_return; ++i) {
      if (!has(place.done, i)) earliest_return = std::min(earliest_return, history_[i].returned);
    }
    // Operations with an answer first: the others are needed only where something depends on them.
    for (bool heard : {true, false}) {
      for (std::size_t i = first; i < history_.size() && history_[i].called <= earliest_return; ++i) {
        if (has(place.done, i) || (history_[i].returned != never) != heard) continue;
        std::optional<RegisterState> state = next(history_[i], place.state);
        if (!state || (!heard && *state == place.state)) continue;
        Place after = place;
        flip(after.done, i);
        after.state = *state;
        if (from(after, done + (heard ? 1 : 0), first)) return true;
      }
    }
    return false;
  }

  // The same state was reached before with the same operations done, or with fewer of those without an answer. These
  // may stay undone, so the search cannot do better now.
  bool seen(const Place& place) {
    Place heard = place;
    Set unheard = place.done;
    for (std::size_t i = 0; i < is_heard_.size(); ++i) {
      heard.done[i] &= is_heard_[i];
      unheard[i] &= ~is_heard_[i];
    }
    std::vector<Set>& before = seen_[heard];
    if (std::any_of(before.begin(), before.end(), [&](const Set& used) { return contains(unheard, used); }))
      return true;
    std::erase_if(before, [&](const Set& used) { return contains(used, unheard); });
    before.push_back(unheard);
    return false;
  }

  std::vector<RegisterOperation> history_;
  Set is_heard_{};
  std::size_t heard_ = 0;
  std::uint64_t steps_ = 0;
  std::unordered_map<Place, std::vector<Set>, HashPlace> seen_;
};

std::string to_text(const RegisterState& state) { return state.present ? std::to_string(state.value) : "absent"; }

}  // namespace

std::string to_text(const RegisterOperation& operation) {
  using Kind = RegisterOperation::Kind;
  auto seconds = [](TimePoint time) {
    return time == never ? std::string("never")
                         : std::to_string(static_cast<double>(time.time_since_epoch().count()) / 1e6 - 3600);
  };
  std::string text = seconds(operation.called) + " .. " + seconds(operation.returned) + "  ";
  switch (operation.kind) {
    case Kind::read: return text + "read -> " + to_text(operation.seen);
    case Kind::write: return text + "write " + std::to_string(operation.argument);
    case Kind::erase: return text + "erase";
    case Kind::add: return text + "add " + std::to_string(operation.argument);
    case Kind::compare_and_set:
      return text + "compare-and-set " + to_text(operation.expected) + " to " + std::to_string(operation.argument) +
             (operation.applied ? "" : " (refused)");
  }
  return text;
}

Verdict check(const std::vector<RegisterOperation>& history) {
  RINGFS_CHECK(history.size() <= max_history);
  return Search(history).run();
}

}  // namespace ringfs::sim

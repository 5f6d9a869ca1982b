// The check of one register's history.
#include "tests/posix/coherence/register_check.hpp"

#include <algorithm>
#include <optional>
#include <set>
#include <unordered_set>

namespace ringfs::coherence {
namespace {

constexpr std::size_t most_places = 100'000;

using Kind = Operation::Kind;

// What may be so at some moment: the value, and which of the open operations have happened already (ascending).
struct Place {
  std::uint64_t value = 0;
  std::vector<std::uint32_t> done;
  friend auto operator<=>(const Place&, const Place&) = default;
  bool has(std::uint32_t operation) const { return std::binary_search(done.begin(), done.end(), operation); }
  void add(std::uint32_t operation) { done.insert(std::upper_bound(done.begin(), done.end(), operation), operation); }
};

// The value after the operation; none: it cannot happen now.
std::optional<std::uint64_t> after(const Operation& operation, std::uint64_t value) {
  switch (operation.kind) {
    case Kind::read: return operation.value == value ? std::optional(value) : std::nullopt;
    case Kind::put: return operation.value;
    case Kind::create: return value == 0 ? std::optional(operation.value) : std::nullopt;
    case Kind::create_found: return value != 0 ? std::optional(value) : std::nullopt;
    case Kind::erase: return value != 0 ? std::optional<std::uint64_t>(0) : std::nullopt;
    case Kind::erase_found: return value == 0 ? std::optional(value) : std::nullopt;
  }
  return std::nullopt;
}

class Check {
 public:
  Check(const std::vector<Operation>& history, std::uint64_t first) : history_(history) { places_.insert({first, {}}); }

  void called(std::uint32_t operation) {
    open_.insert(operation);
    std::set<Place> next;
    for (const Place& place : places_) next.insert(settled(place));
    places_ = std::move(next);
  }

  // Every place in which the operation has happened, or can happen after other open ones.
  Verdict returned(std::uint32_t operation) {
    std::set<Place> next;
    std::set<Place> seen = places_;
    std::vector<Place> todo(places_.begin(), places_.end());
    while (!todo.empty()) {
      Place place = std::move(todo.back());
      todo.pop_back();
      if (place.has(operation)) {
        std::erase(place.done, operation);
        next.insert(std::move(place));
        continue;
      }
      for (const std::uint32_t other : open_) {
        if (place.has(other)) continue;
        const std::optional<std::uint64_t> value = after(history_[other], place.value);
        if (!value) continue;
        Place later = place;
        later.value = *value;
        later.add(other);
        later = settled(std::move(later));
        if (seen.insert(later).second) todo.push_back(std::move(later));
        if (seen.size() > most_places) return Verdict::undecided;
      }
    }
    open_.erase(operation);
    places_ = std::move(next);
    return places_.empty() ? Verdict::not_linearizable : Verdict::linearizable;
  }

 private:
  // Open operations that can happen here and change nothing happen now: later they could do no more.
  Place settled(Place place) const {
    for (const std::uint32_t open : open_) {
      if (!place.has(open) && after(history_[open], place.value) == place.value) place.add(open);
    }
    return place;
  }

  const std::vector<Operation>& history_;
  std::set<std::uint32_t> open_;
  std::set<Place> places_;
};

// What got no answer and left nothing that anybody saw need not have happened.
void drop_unseen(std::vector<Operation>& history) {
  std::unordered_set<std::uint64_t> seen;
  for (const Operation& operation : history) {
    if (operation.kind == Kind::read) seen.insert(operation.value);
  }
  std::erase_if(history, [&](const Operation& operation) {
    if (operation.returned != Operation::unanswered) return false;
    const bool writes = operation.kind == Kind::put || operation.kind == Kind::create;
    return operation.kind == Kind::read || (writes && !seen.contains(operation.value));
  });
}

}  // namespace

std::string to_text(const Operation& operation) {
  static constexpr const char* names[] = {"read", "put", "create", "create (exists)", "erase", "erase (not found)"};
  const auto time = [](std::uint64_t at) {
    return at == Operation::unanswered ? std::string("never") : std::to_string(at / 1000);
  };
  return time(operation.called) + " .. " + time(operation.returned) + " us  process " +
         std::to_string(operation.process) + "  " + names[static_cast<std::size_t>(operation.kind)] + " " +
         std::to_string(operation.value);
}

Finding check(std::vector<Operation>& history, std::uint64_t first) {
  drop_unseen(history);
  std::sort(history.begin(), history.end(),
            [](const Operation& a, const Operation& b) { return a.returned < b.returned; });
  std::vector<std::uint32_t> calls(history.size());
  for (std::uint32_t i = 0; i < calls.size(); ++i) calls[i] = i;
  std::sort(calls.begin(), calls.end(), [&](auto a, auto b) { return history[a].called < history[b].called; });
  Check check(history, first);
  std::size_t call = 0;
  for (std::uint32_t i = 0; i < history.size() && history[i].returned != Operation::unanswered; ++i) {
    while (call < calls.size() && history[calls[call]].called <= history[i].returned) check.called(calls[call++]);
    const Verdict verdict = check.returned(i);
    if (verdict != Verdict::linearizable) return {verdict, i};
  }
  return {Verdict::linearizable, 0};
}

}  // namespace ringfs::coherence

// What clients asked and heard about one object, and whether some order of the operations explains it.
//
// An object is a 64-bit register that may be absent. The checker is Wing and Gong's search ("Testing and verifying
// concurrent objects", 1993) with Lowe's memo of (set of operations done, state). An operation without an answer
// may have happened at any time after its call, or never; in the memo a state with fewer of these done is as good.
// Limits: max_history operations an object; the search gives up after max_search_steps.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "dht/base/time.hpp"

namespace ringfs::sim {

inline constexpr std::size_t max_history = 192;
inline constexpr std::uint64_t max_search_steps = 3'000'000;

struct RegisterState {
  bool present = false;
  std::int64_t value = 0;
  friend bool operator==(const RegisterState&, const RegisterState&) = default;
};

struct RegisterOperation {
  enum class Kind : std::uint8_t { read, write, erase, compare_and_set, add };
  Kind kind{};
  RegisterState expected;     // compare_and_set
  std::int64_t argument = 0;  // write, compare_and_set: the new value; add: the number
  TimePoint called{};
  TimePoint returned = never;  // never: no answer came
  bool applied = true;         // compare_and_set
  RegisterState seen;          // read
};

std::string to_text(const RegisterOperation& operation);

enum class Verdict { linearizable, not_linearizable, undecided };

// The register is absent at first.
Verdict check(const std::vector<RegisterOperation>& history);

}  // namespace ringfs::sim

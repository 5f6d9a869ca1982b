// Whether some order of the operations on one register explains what programs saw: for histories of any length.
//
// A register is absent (0) or has a value; every value is written at most once. The operations come as the programs
// called them; a few overlap at any time. The check goes through calls and returns in the order of time and keeps every
// set of effects that may have happened by then ("just-in-time linearization": Lowe, "Testing for linearizability",
// 2017). An operation without an answer may happen at any time after its call, or never.
// Threads: a pure function. Limits: most_places of those sets at a time; beyond them the verdict is `undecided`.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace ringfs::coherence {

struct Operation {
  enum class Kind : std::uint8_t {
    read,          // `value` was seen; 0: absent
    put,           // `value` is there afterwards, whatever was before
    create,        // `value` is there afterwards, and nothing was before
    create_found,  // refused: something was there
    erase,         // something was there, and is not afterwards
    erase_found,   // refused: nothing was there
  };
  static constexpr std::uint64_t unanswered = UINT64_MAX;

  std::uint64_t called = 0, returned = 0;  // nanoseconds
  std::uint64_t value = 0;
  std::uint32_t object = 0;
  Kind kind{};
  std::uint8_t process = 0;
};
std::string to_text(const Operation& operation);

enum class Verdict { linearizable, not_linearizable, undecided };

struct Finding {
  Verdict verdict{};
  std::size_t at = 0;  // among the operations in the order of their returns: the first that nothing explains
};
// The register has the value `first` before.
Finding check(std::vector<Operation>& history, std::uint64_t first);

}  // namespace ringfs::coherence

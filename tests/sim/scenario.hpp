// One seed from beginning to end: a ring is created, clients work while faults happen, the faults stop, and then within
// bounds every partition has a leader with a lease, replicas have equal states, no lock is left, Chord's pointers are
// right, and some order of the operations explains each history. Threads: one, virtual.
// tests/sim/machines/world.hpp says what makes it repeatable.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tests/sim/checks/coverage.hpp"
#include "tests/sim/machines/world.hpp"

namespace ringfs::sim {

struct ScenarioOptions {
  std::optional<unsigned> nodes;  // otherwise drawn: mostly 3 to 7
  std::string fault;              // a guard to switch off (guard_names()); empty: none
  bool verbose = false;
};

struct SeedResult {
  std::optional<Violation> violation;
  std::string lacks;  // what is missing for it to count; empty: it counts
  std::uint64_t hash = 0;
  std::uint64_t events = 0;
  unsigned nodes = 0;
  std::string parameters;
  std::string trace;  // the last lines, when there was a violation
  Coverage coverage;
};

SeedResult run_seed(std::uint64_t seed, const ScenarioOptions& options);

// Whether the seed is one of those whose faults last for long (tests/sim/faults/long_faults).
bool has_long_faults(std::uint64_t seed, const ScenarioOptions& options);

// The guards that can be switched off to see whether the simulator notices.
const std::vector<std::string>& guard_names();

// The world of the seed that runs, for a crash report; null between seeds.
const World* running_world();

}  // namespace ringfs::sim

// What a run of seeds must have met: every kind of fault, every transition of the protocol, every step at which a
// coordinator can die. World::count counts them. A row of this list that stays at 0 fails the run.
//
// Threads: none.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace ringfs::sim {

using Coverage = std::map<std::string, std::uint64_t, std::less<>>;

struct CoverageRow {
  std::string what;          // as World::count has it
  unsigned least_nodes = 1;  // in a smaller ring it cannot happen
};

struct CoverageSection {
  const char* title;
  std::vector<CoverageRow> rows;
};

const std::vector<CoverageSection>& required_coverage();

// Rows that never happened, in rings of at most that many nodes.
std::vector<std::string> missing_coverage(const Coverage& coverage, unsigned most_nodes);

// Prints the list, section by section, and then whatever else was counted.
void print_coverage(const Coverage& coverage);

}  // namespace ringfs::sim

// What a run of seeds promises to have met: every kind of fault, every transition of the protocol, every step at which
// a coordinator can die. Counting them is World::count's business; here is the list, so that a row that stays at 0
// fails a run instead of being overlooked.
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

const std::vector<CoverageSection>& promised_coverage();

// Promised rows that never happened, in rings of at most that many nodes.
std::vector<std::string> missing_coverage(const Coverage& coverage, unsigned most_nodes);

// The table: what is promised, section by section, and then whatever else was counted.
void print_coverage(const Coverage& coverage);

}  // namespace ringfs::sim

// ringfs-sim: runs seeds of the simulator and says which ones found a violation.
//
// Exit code: 0 all seeds passed, 1 a violation (or none, where one was required; or, with --count, too few seeds that
// count or, from 500 on, a required row of the coverage table at 0), 2 usage. RINGFS_SEED in the environment runs that
// one seed.
#include <CLI/CLI.hpp>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <optional>
#include <utility>

#include <unistd.h>

#include "tests/sim/checks/coverage.hpp"
#include "tests/sim/scenario.hpp"

namespace {

using namespace ringfs::sim;

// With --count: of the seeds that ran, this many of a hundred must do enough to count.
constexpr std::uint64_t least_counted_percent = 80;

constexpr unsigned most_nodes = 50;

// Fewer seeds may miss a rare row of the coverage table by chance.
constexpr std::uint64_t least_seeds_for_coverage = 500;

std::uint64_t seed_in_use = 0;
bool violation_wanted = false;

// A seed failed with a guard off. That counts only if the same seed passes with the guard on. This process becomes that
// run, by exec, because after a failed check its memory cannot be trusted; the exit code of that run is the answer.
[[noreturn]] void run_with_the_guard_on(std::uint64_t seed, const std::optional<unsigned>& nodes) {
  std::printf("seed %llu with the guard on:\n", static_cast<unsigned long long>(seed));
  std::fflush(nullptr);
  std::string first = std::to_string(seed), size = std::to_string(nodes.value_or(0));
  unsetenv("RINGFS_SEED");
  if (nodes)
    execl("/proc/self/exe", "ringfs-sim", "--seeds", "1", "--first", first.c_str(), "--nodes", size.c_str(), nullptr);
  else
    execl("/proc/self/exe", "ringfs-sim", "--seeds", "1", "--first", first.c_str(), nullptr);
  std::perror("ringfs-sim: exec");
  std::_Exit(1);
}

std::optional<unsigned> nodes_in_use;

// A failed check of the core aborted: say which seed it was, then die of the same signal.
void report_abort(int signal) {
  std::fprintf(stderr, "\nseed %llu: the program died of signal %d\n", static_cast<unsigned long long>(seed_in_use),
               signal);
  if (const World* world = running_world()) std::fprintf(stderr, "%s", world->trace_tail(40).c_str());
  if (violation_wanted && signal == SIGABRT) {
    std::printf("seed %llu noticed it: a check of the core itself (see above)\n",
                static_cast<unsigned long long>(seed_in_use));
    run_with_the_guard_on(seed_in_use, nodes_in_use);
  }
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

// An uncaught exception aborts, too, but it is no check that noticed something.
[[noreturn]] void report_terminate() {
  violation_wanted = false;
  std::fprintf(stderr, "\nstd::terminate\n");
  std::abort();
}

struct Totals {
  std::uint64_t seeds = 0, counted = 0, failed = 0, events = 0;
  Coverage coverage;
  std::map<std::string, std::uint64_t> violations;
};

void print_failure(std::uint64_t seed, const SeedResult& result) {
  std::printf("seed %llu FAILED: %s\n  %s\n  (%s)\n%s\n", static_cast<unsigned long long>(seed),
              result.violation->invariant.c_str(), result.violation->detail.c_str(), result.parameters.c_str(),
              result.trace.c_str());
  std::fflush(stdout);
}

void print_totals(const Totals& totals, double seconds) {
  print_coverage(totals.coverage);
  for (const auto& [what, number] : totals.violations) {
    std::printf("VIOLATED %-35s %12llu seeds\n", what.c_str(), static_cast<unsigned long long>(number));
  }
  std::printf("%llu seeds, %llu of them counted, %llu failed; %llu events; %.1f s, %.1f seeds/s\n",
              static_cast<unsigned long long>(totals.seeds), static_cast<unsigned long long>(totals.counted),
              static_cast<unsigned long long>(totals.failed), static_cast<unsigned long long>(totals.events), seconds,
              static_cast<double>(totals.seeds) / std::max(seconds, 1e-9));
}

// What --count demands beside the absence of violations.
bool meets_demands(const Totals& totals, std::uint64_t count, const std::optional<unsigned>& nodes) {
  bool kept = true;
  if (totals.counted < count) {
    std::printf("FAILED: %llu of %llu seeds counted, less than %llu in a hundred\n",
                static_cast<unsigned long long>(totals.counted), static_cast<unsigned long long>(totals.seeds),
                static_cast<unsigned long long>(least_counted_percent));
    kept = false;
  }
  if (count < least_seeds_for_coverage) return kept;
  for (const std::string& what : missing_coverage(totals.coverage, nodes.value_or(most_nodes))) {
    std::printf("FAILED: never happened: %s\n", what.c_str());
    kept = false;
  }
  return kept;
}

struct Modes {
  bool determinism = false;       // every seed twice, with equal traces
  bool expect_violation = false;  // ends the program as soon as a seed fails that passes with the guard on
  bool hashes = false;            // printed
};

void run_and_count(std::uint64_t seed, const ScenarioOptions& options, const Modes& modes, Totals& totals) {
  seed_in_use = seed;
  SeedResult result = run_seed(seed, options);
  ++totals.seeds;
  totals.counted += result.lacks.empty() ? 1 : 0;
  if (!result.lacks.empty()) ++totals.coverage["seed does not count: lacks " + result.lacks];
  totals.events += result.events;
  if (modes.hashes)
    std::printf("seed %llu: %016llx\n", static_cast<unsigned long long>(seed),
                static_cast<unsigned long long>(result.hash));
  for (const auto& [what, number] : result.coverage) totals.coverage[what] += number;
  if (modes.determinism && !result.violation) {
    SeedResult again = run_seed(seed, options);
    if (again.hash != result.hash) result.violation = Violation{"one seed, one trace", "two runs differ"};
  }
  if (result.violation) {
    ++totals.failed;
    ++totals.violations[result.violation->invariant];
    if (modes.expect_violation) {
      std::printf("seed %llu noticed it: %s: %s\n", static_cast<unsigned long long>(seed),
                  result.violation->invariant.c_str(), result.violation->detail.c_str());
      run_with_the_guard_on(seed, options.nodes);
    }
    print_failure(seed, result);
  }
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("The deterministic simulator of a RingFS ring");
  std::uint64_t seeds = 20, first = 1, count = 0;
  std::optional<std::uint64_t> likely;
  double budget_seconds = 0;
  unsigned nodes = 0;
  bool long_faults = false;
  Modes modes;
  ScenarioOptions options;
  app.add_option("--seeds", seeds, "How many seeds to run");
  app.add_option("--count", count,
                 "Run seeds until that many did enough to count (docs/simulator.md), instead of a number of them");
  app.add_option("--first", first, "The first seed");
  app.add_option("--time-budget", budget_seconds, "Run seeds for that many seconds instead of a number of them");
  app.add_option("--nodes", nodes, "Nodes of the ring, instead of drawing them")->check(CLI::Range(1u, most_nodes));
  app.add_option("--fault", options.fault, "Switch a guard off")->check(CLI::IsMember(guard_names()));
  app.add_flag("--expect-violation", modes.expect_violation,
               "Succeed as soon as a seed fails that passes with the guard on");
  app.add_option("--likely", likely, "The seed to begin with, which found it before; then from the first one on");
  app.add_flag("--long-faults", long_faults, "Pass over the seeds whose faults do not last for long");
  app.add_flag("--determinism", modes.determinism, "Run every seed twice and compare the traces");
  app.add_flag("--hashes", modes.hashes,
               "Print the hash of each seed's trace: two programs with the same hashes sent the same messages");
  app.add_flag("--verbose", options.verbose, "Print every trace line");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  if (nodes != 0) options.nodes = nodes;
  if (const char* one = std::getenv("RINGFS_SEED")) {
    first = std::strtoull(one, nullptr, 10);
    seeds = 1;
    budget_seconds = 0;
    count = 0;
  }
  nodes_in_use = options.nodes;
  violation_wanted = modes.expect_violation;
  std::set_terminate(report_terminate);
  std::signal(SIGABRT, report_abort);
  std::signal(SIGSEGV, report_abort);

  auto start = std::chrono::steady_clock::now();
  auto elapsed = [&] { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(); };
  Totals totals;
  const std::uint64_t most_seeds = count > 0 ? count * 100 / least_counted_percent : seeds;
  auto go_on = [&] {
    if (budget_seconds > 0) return elapsed() < budget_seconds;
    return totals.seeds < most_seeds && (count == 0 || totals.counted < count);
  };
  for (std::uint64_t next = first; go_on();) {
    const std::uint64_t seed = likely ? *std::exchange(likely, std::nullopt) : next++;
    if (long_faults && !has_long_faults(seed, options)) continue;
    run_and_count(seed, options, modes, totals);
  }
  print_totals(totals, elapsed());
  if (modes.expect_violation) return 1;
  const bool kept = count == 0 || meets_demands(totals, count, options.nodes);
  return totals.failed == 0 && kept ? 0 : 1;
}

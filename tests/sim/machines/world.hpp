// The simulated world: virtual time, an ordered event queue, one source of randomness and a trace.
//
// One seed decides everything: events run in order of (time, sequence number), nothing reads a real clock, and
// containers that are iterated are ordered. The trace hash covers every event that matters, so two runs of one seed can
// be compared. A violation is recorded once, the first one wins, and stops the run. Threads: one.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "dht/base/random.hpp"
#include "dht/base/time.hpp"
#include "tests/sim/checks/coverage.hpp"

namespace ringfs::sim {

inline constexpr std::size_t trace_lines_kept = 400;

struct Violation {
  std::string invariant;
  std::string detail;
};

class World {
 public:
  explicit World(std::uint64_t seed, bool verbose = false);
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  std::uint64_t seed() const { return seed_; }
  TimePoint now() const { return now_; }
  SeededRandom& random() { return random_; }

  // Uniform in [low, high].
  std::uint64_t between(std::uint64_t low, std::uint64_t high) { return low + random_.below(high - low + 1); }
  Duration between(Duration low, Duration high) {
    return Duration(static_cast<std::int64_t>(
        between(static_cast<std::uint64_t>(low.count()), static_cast<std::uint64_t>(high.count()))));
  }
  bool chance(double probability);

  void at(TimePoint when, std::function<void()> action);
  void after(Duration delay, std::function<void()> action) { at(now_ + delay, std::move(action)); }
  // Runs after every event: lets coroutines that became ready go on.
  void set_after_event(std::function<void()> hook) { after_event_ = std::move(hook); }

  // False: no event left, or a violation was found.
  bool step();
  // Until `done` says so (asked after every event), the time is over, or a violation. True: done.
  bool run(Duration limit, const std::function<bool()>& done);
  void run(Duration length);

  // `what` must be a literal. Numbers mean what the place that traces says they mean.
  void trace(const char* what, std::uint64_t a = 0, std::uint64_t b = 0, std::uint64_t c = 0, std::uint64_t d = 0);
  std::uint64_t trace_hash() const { return hash_; }
  std::string trace_tail(std::size_t lines) const;

  void count(const char* what, std::uint64_t number = 1) { coverage_[what] += number; }
  void count(const std::string& what, std::uint64_t number = 1) { coverage_[what] += number; }
  std::uint64_t counted(const std::string& what) const;
  const Coverage& coverage() const { return coverage_; }
  std::uint64_t events() const { return executed_; }

  void violate(std::string invariant, std::string detail);
  const std::optional<Violation>& violation() const { return violation_; }

 private:
  struct Scheduled {
    TimePoint when;
    std::uint64_t number = 0;
    std::function<void()> action;
  };
  struct Line {
    TimePoint when;
    const char* what = nullptr;
    std::array<std::uint64_t, 4> numbers{};
  };
  static bool later(const Scheduled& left, const Scheduled& right);
  static std::string format(const Line& line);

  const std::uint64_t seed_;
  const bool verbose_;
  SeededRandom random_;
  TimePoint now_{};
  std::uint64_t next_number_ = 0;
  std::uint64_t executed_ = 0;
  std::vector<Scheduled> queue_;  // a heap
  std::function<void()> after_event_;
  std::vector<Line> lines_;  // the last trace_lines_kept, a ring
  std::uint64_t line_count_ = 0;
  std::uint64_t hash_ = 0;
  Coverage coverage_;
  std::optional<Violation> violation_;
};

}  // namespace ringfs::sim

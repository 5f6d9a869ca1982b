// The event queue and the trace.
#include "tests/sim/machines/world.hpp"

#include <algorithm>
#include <cinttypes>
#include <cstdio>

#include "dht/base/hash.hpp"

namespace ringfs::sim {

namespace {
// Virtual boot clocks start away from zero, so that "some time before now" never is negative.
constexpr TimePoint start_of_time = TimePoint(std::chrono::hours(1));
}  // namespace

World::World(std::uint64_t seed, bool verbose) : seed_(seed), verbose_(verbose), random_(seed), now_(start_of_time) {
  lines_.resize(trace_lines_kept);
}

bool World::chance(double probability) {
  if (probability <= 0) return false;
  return static_cast<double>(random_.next() >> 11) * 0x1.0p-53 < probability;
}

bool World::later(const Scheduled& left, const Scheduled& right) {
  if (left.when != right.when) return left.when > right.when;
  return left.number > right.number;
}

void World::at(TimePoint when, std::function<void()> action) {
  queue_.push_back({std::max(when, now_), next_number_++, std::move(action)});
  std::push_heap(queue_.begin(), queue_.end(), later);
}

bool World::step() {
  if (queue_.empty() || violation_) return false;
  std::pop_heap(queue_.begin(), queue_.end(), later);
  Scheduled event = std::move(queue_.back());
  queue_.pop_back();
  now_ = event.when;
  ++executed_;
  event.action();
  if (after_event_) after_event_();
  return !violation_;
}

bool World::run(Duration limit, const std::function<bool()>& done) {
  TimePoint end = now_ + limit;
  while (!violation_) {
    if (done()) return true;
    if (queue_.empty() || queue_.front().when > end) {
      now_ = end;
      return false;
    }
    step();
  }
  return false;
}

void World::run(Duration length) {
  run(length, [] { return false; });
}

std::string World::format(const Line& line) {
  char buffer[256];
  std::snprintf(buffer, sizeof buffer, "%12.6f %-24s %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64,
                static_cast<double>((line.when - start_of_time).count()) / 1e6, line.what, line.numbers[0],
                line.numbers[1], line.numbers[2], line.numbers[3]);
  return buffer;
}

void World::trace(const char* what, std::uint64_t a, std::uint64_t b, std::uint64_t c, std::uint64_t d) {
  Line& line = lines_[line_count_++ % trace_lines_kept];
  line = {now_, what, {a, b, c, d}};
  std::int64_t numbers[5] = {now_.time_since_epoch().count(), static_cast<std::int64_t>(a),
                             static_cast<std::int64_t>(b), static_cast<std::int64_t>(c), static_cast<std::int64_t>(d)};
  hash_ = checksum(what, hash_);
  hash_ = checksum({reinterpret_cast<const char*>(numbers), sizeof numbers}, hash_);
  if (verbose_) std::printf("%s\n", format(line).c_str());
}

std::string World::trace_tail(std::size_t lines) const {
  std::string text;
  std::uint64_t kept = std::min<std::uint64_t>({lines, line_count_, trace_lines_kept});
  for (std::uint64_t i = line_count_ - kept; i < line_count_; ++i) text += format(lines_[i % trace_lines_kept]) + "\n";
  return text;
}

std::uint64_t World::counted(const std::string& what) const {
  auto found = coverage_.find(what);
  return found == coverage_.end() ? 0 : found->second;
}

void World::violate(std::string invariant, std::string detail) {
  if (violation_) return;
  trace("violation");
  violation_ = Violation{std::move(invariant), std::move(detail)};
}

}  // namespace ringfs::sim

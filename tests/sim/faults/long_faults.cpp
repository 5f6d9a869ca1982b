// Begins and ends the faults that last for minutes.
#include "tests/sim/faults/long_faults.hpp"

#include <algorithm>
#include <utility>

namespace ringfs::sim {

namespace {
using std::chrono::milliseconds;
using std::chrono::seconds;
constexpr Duration several_apart = milliseconds(500);
constexpr Duration one_after_another = seconds(15);  // the next disk hangs when all know of the one before
constexpr Duration starved_period = seconds(1);
constexpr Duration starved_pause = milliseconds(900);  // of each period
}  // namespace

void LongFaults::start() {
  if (!options_.active) return;
  stopped_ = false;
  next();
}

void LongFaults::stop() {
  stopped_ = true;
  if (end_) std::exchange(end_, nullptr)();
}

void LongFaults::next() {
  world_.after(world_.between(options_.pause_low, options_.pause_high), [this] {
    if (stopped_) return;
    strike(cluster_.node(static_cast<std::size_t>(world_.between(0, cluster_.size() - 1))));
    world_.after(world_.between(options_.length_low, options_.length_high), [this] {
      if (stopped_) return;
      std::exchange(end_, nullptr)();
      next();
    });
  });
}

void LongFaults::strike(SimNode& node) {
  ++struck_;
  switch (world_.between(0, 6)) {
    case 0:
    case 1: end_ = hang(node); return;
    case 2:
    case 3: end_ = hang_several(); return;
    case 4: end_ = slow(node); return;
    case 5: end_ = one_way(node); return;
    default: end_ = starve(node); return;
  }
}

std::function<void()> LongFaults::hang(SimNode& node) {
  const bool reads = world_.chance(0.3);
  world_.trace("disk hangs", node.index(), reads ? 1 : 0);
  world_.count("fault: hung disk");
  node.disk().set_hangs(true, reads);
  return [&node] { node.disk().set_hangs(false, false); };
}

// Either each a little after the one before, when its store has something to sync. Or so much later that the groups of
// the one before have been handed over, some of them to the next one. All answer again at the same time.
std::function<void()> LongFaults::hang_several() {
  std::vector<SimNode*> nodes;
  for (std::size_t i = 0; i < cluster_.size(); ++i) nodes.push_back(&cluster_.node(i));
  const bool all = world_.chance(0.4);
  const auto count =
      all ? nodes.size() : static_cast<std::size_t>(world_.between(2, std::max<std::uint64_t>(2, nodes.size() / 2)));
  while (nodes.size() > count)
    nodes.erase(nodes.begin() + static_cast<std::ptrdiff_t>(world_.between(0, nodes.size() - 1)));
  world_.trace("disks hang", nodes.front()->index(), nodes.size());
  world_.count(all ? "fault: all disks hang" : "fault: several hung disks");
  const Duration apart = world_.chance(0.5) ? several_apart : one_after_another;
  for (SimNode* node : nodes) {
    world_.after(world_.between(Duration::zero(), apart), [this, node, strike = struck_] {
      if (!stopped_ && strike == struck_) node->disk().set_hangs(true, false);
    });
  }
  return [this, nodes] {
    ++struck_;
    for (SimNode* node : nodes) node->disk().set_hangs(false, false);
  };
}

std::function<void()> LongFaults::slow(SimNode& node) {
  world_.trace("disk is slow", node.index());
  world_.count("fault: slow disk for long");
  DiskSpeed speed = cluster_.options().disk;
  speed.sync_low = milliseconds(150);
  speed.sync_high = milliseconds(500);
  node.set_disk_speed(speed);
  return [this, &node] { node.set_disk_speed(cluster_.options().disk); };
}

std::function<void()> LongFaults::one_way(SimNode& node) {
  world_.count("fault: one-way network for long");
  std::vector<std::pair<unsigned, unsigned>> links;
  const auto other = static_cast<unsigned>(world_.between(0, cluster_.size() - 1));
  const std::uint64_t kind = world_.between(0, 3);
  for (unsigned i = 0; i < cluster_.size(); ++i) {
    if (i == node.index()) continue;
    if (kind == 0 || (kind >= 2 && i == other)) links.emplace_back(node.index(), i);  // cannot be heard there
    if (kind == 1) links.emplace_back(i, node.index());                               // hears nobody
  }
  world_.trace("one way", node.index(), kind, other);
  for (const auto& [from, to] : links) cluster_.network().block(from, to);
  return [this, links] {
    for (const auto& [from, to] : links) cluster_.network().unblock(from, to);
  };
}

std::function<void()> LongFaults::starve(SimNode& node) {
  world_.trace("starved", node.index());
  world_.count("fault: starved process");
  node.set_starved(true);
  starve_on(node, struck_);
  return [&node] { node.set_starved(false); };
}

void LongFaults::starve_on(SimNode& node, std::uint64_t strike) {
  if (stopped_ || strike != struck_ || !node.starved()) return;
  if (node.running() && !node.frozen()) node.freeze(starved_pause);
  world_.after(starved_period, [this, &node, strike] { starve_on(node, strike); });
}

}  // namespace ringfs::sim

// Delays, losses, copies and partitions of the simulated network.
#include "tests/sim/machines/sim_network.hpp"

#include <algorithm>

namespace ringfs::sim {

void SimNetwork::deliver(unsigned from, unsigned to, bool late, std::function<void()> arrive) {
  Duration delay = world_.between(quality_.low, quality_.high);
  if (late || world_.chance(quality_.late)) {
    world_.count("fault: late message");
    delay = world_.between(quality_.late_low, quality_.late_high);
  }
  Link& link = links_[{from, to}];
  world_.after(delay, [this, from, to, &link, number = ++link.sent, arrive = std::move(arrive)] {
    // A partition that came up while the message was under way swallows it, too.
    if (blocked(from, to)) return;
    if (number < link.newest_arrived) world_.count("fault: reordered message");
    link.newest_arrived = std::max(link.newest_arrived, number);
    arrive();
  });
}

bool SimNetwork::carry(unsigned from, unsigned to, std::function<void()> arrive) {
  if (from == to) {
    world_.after(Duration(1), std::move(arrive));
    return false;
  }
  if (blocked(from, to)) {
    world_.count("fault: message into a partition");
    return false;
  }
  if (world_.chance(quality_.drop)) {
    world_.count("fault: dropped message");
    return false;
  }
  const bool copied = world_.chance(quality_.duplicate);
  if (copied) {
    world_.count("fault: duplicated message");
    deliver(from, to, quality_.late_copies, arrive);
  }
  deliver(from, to, false, std::move(arrive));
  return copied;
}

void SimNetwork::carry_reliably(unsigned from, unsigned to, std::function<void()> arrive) {
  if (blocked(from, to)) return;
  world_.after(world_.between(quality_.low, quality_.high), [this, from, to, arrive = std::move(arrive)] {
    if (!blocked(from, to)) arrive();
  });
}

}  // namespace ringfs::sim

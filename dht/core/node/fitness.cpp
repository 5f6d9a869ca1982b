// How this node measures whether it is fit to lead, tells it, and finds out when a peer asks (fitness.hpp).
#include <algorithm>

#include "dht/core/node/implementation.hpp"

namespace ringfs::dht {

namespace {

constexpr Duration slow_probe_interval =
    std::chrono::seconds(5);  // of a slow disk that nobody uses: it may be well again

std::string milliseconds_text(Duration duration) { return std::to_string(duration / std::chrono::milliseconds(1)); }

}  // namespace

// Of the effects that are about to be carried out.
void Node::Implementation::watch_storage(Effects& effects) {
  Fitness& fitness = services_.fitness;
  if (effects.write.id != 0) {
    fitness.write_given(effects.write.id, !effects.write.only_stages(), now());
  } else if (fitness.hangs(now())) {
    // They would wait for the hung write, more of them with every repetition of what they answer. All are asked for
    // again.
    effects.messages_after_write.clear();
  }
  const auto closed = std::count_if(effects.snapshot_reads.begin(), effects.snapshot_reads.end(),
                                    [](const SnapshotRead& read) { return read.close; });
  fitness.reads_given(
      effects.reads.size() + effects.loads.size() + effects.snapshot_reads.size() - static_cast<std::size_t>(closed),
      now());
}

// Writes what is there already, if the disk is idle: an answer shows that it can.
void Node::Implementation::probe_disk() {
  const Fitness& fitness = services_.fitness;
  if (fitness.answers(now()) || fitness.writing() || out_.writing() || peers_.empty()) return;
  out_.node_write().peer_incarnations.emplace_back(*peers_.begin());
}

// Once a second.
void Node::Implementation::judge_fitness() {
  services_.fitness.judge(now());
  if (services_.fitness.disk_slow() && services_.fitness.idle_for(now()) >= slow_probe_interval) probe_disk();
}

void Node::Implementation::tell_fitness() {
  const Fitness& fitness = services_.fitness;
  const bool hangs = fitness.hangs(now());
  if (std::exchange(told_hangs_, hangs) != hangs) {
    if (hangs)
      out_.event("disk_hangs", "for_ms=" + milliseconds_text(fitness.stalled(now())));
    else
      out_.event("disk_answers", "write_ms=" + milliseconds_text(fitness.write_time(now())));
  }
  if (std::exchange(told_slow_, fitness.disk_slow()) != fitness.disk_slow()) {
    out_.event(fitness.disk_slow() ? "disk_slow" : "disk_not_slow",
               "write_ms=" + milliseconds_text(fitness.write_time(now())));
  }
  if (std::exchange(told_late_, fitness.late()) != fitness.late())
    out_.event(fitness.late() ? "loop_late" : "loop_in_time", {});
}

}  // namespace ringfs::dht

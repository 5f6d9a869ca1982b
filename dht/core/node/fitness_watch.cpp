// What this node gives its disk and gets back, and what events say of it.
#include "dht/core/node/fitness_watch.hpp"

#include <algorithm>
#include <utility>

namespace ringfs::dht {

namespace {

constexpr Duration slow_probe_interval =
    std::chrono::seconds(5);  // of a slow disk that nobody uses: it may be well again

std::string milliseconds_text(Duration duration) { return std::to_string(duration / std::chrono::milliseconds(1)); }

}  // namespace

void FitnessWatch::ticked(TimePoint due) {
  if (due != never) services_.fitness.ticked(due, now());
  tell();
}

void FitnessWatch::watch_storage(Effects& effects) {
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

void FitnessWatch::probe_disk() {
  const Fitness& fitness = services_.fitness;
  if (fitness.answers(now()) || fitness.writing() || services_.out.writing()) return;
  identities_.write_again();
}

void FitnessWatch::judge() {
  services_.fitness.judge(now());
  if (services_.fitness.disk_slow() && services_.fitness.idle_for(now()) >= slow_probe_interval) probe_disk();
}

void FitnessWatch::tell() {
  const Fitness& fitness = services_.fitness;
  const bool hangs = fitness.hangs(now());
  if (std::exchange(told_hangs_, hangs) != hangs) {
    if (hangs)
      services_.out.event("disk_hangs", "for_ms=" + milliseconds_text(fitness.stalled(now())));
    else
      services_.out.event("disk_answers", "write_ms=" + milliseconds_text(fitness.write_time(now())));
  }
  if (std::exchange(told_slow_, fitness.disk_slow()) != fitness.disk_slow()) {
    services_.out.event(fitness.disk_slow() ? "disk_slow" : "disk_not_slow",
                        "write_ms=" + milliseconds_text(fitness.write_time(now())));
  }
  if (std::exchange(told_late_, fitness.late()) != fitness.late())
    services_.out.event(fitness.late() ? "loop_late" : "loop_in_time", {});
}

}  // namespace ringfs::dht

// Sending, and the little that all parts of Chord do alike.
#include "dht/core/chord/context.hpp"

#include <algorithm>

namespace ringfs::dht {

ChordContext::ChordContext(ChordOptions chord_options, Random& random_source, TimePoint time)
    : options(std::move(chord_options)),
      self(options.self),
      random(random_source),
      now(time),
      peers(self),
      lists(self, options.replication, peers) {}

Duration ChordContext::jittered(Duration duration) {
  auto tenth = static_cast<std::uint64_t>(std::max<Duration::rep>(duration.count() / 10, 1));
  return duration - Duration(static_cast<Duration::rep>(random.below(tenth)));
}

void ChordContext::send(const Uuid& node, ChordMessage message) {
  if (node == self) {
    local.push_back(std::move(message));
  } else {
    messages.emplace_back(node, std::move(message));
  }
}

void ChordContext::note_silence(const Uuid& node, TimePoint sent) {
  if (peers.silent(node, sent, now)) hurry();
}

}  // namespace ringfs::dht

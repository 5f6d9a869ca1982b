// How a node measures its disk and its loop, and what it concludes of itself and of its peers.
#include "dht/core/raft/fitness.hpp"

#include <algorithm>
#include <vector>

#include "dht/base/error.hpp"

namespace ringfs::dht {

void Fitness::Channel::given(std::size_t number, TimePoint now) {
  if (outstanding == 0) since = now;
  outstanding += number;
}

void Fitness::Channel::answered(TimePoint now) {
  RINGFS_CHECK(outstanding > 0);
  --outstanding;
  since = now;
}

void Fitness::write_given(EffectId write, bool synced, TimePoint now) {
  writes_.given(1, now);
  given_.push_back({write, synced, now});
}

void Fitness::written(EffectId through, TimePoint now) {
  while (!given_.empty() && given_.front().write <= through) {
    const Given given = given_.front();
    given_.pop_front();
    writes_.answered(now);
    if (!given.synced) continue;
    const Duration took = now - given.at;
    const bool forgotten = synced_at_ == TimePoint::min() || synced_at_ + write_time_life <= now;
    const int share = synced_at_ + sparse_samples <= now ? 2 : 8;
    mean_ = forgotten ? took : mean_ + (took - mean_) / share;
    synced_at_ = now;
  }
}

void Fitness::reads_given(std::size_t reads, TimePoint now) {
  if (reads > 0) reads_.given(reads, now);
}

void Fitness::read_answered(TimePoint now) { reads_.answered(now); }

Duration Fitness::stalled(TimePoint now) const { return std::max(writes_.stalled(now), reads_.stalled(now)); }

Duration Fitness::write_time(TimePoint now) const {
  const bool known = synced_at_ != TimePoint::min() && synced_at_ + write_time_life > now;
  // One that is under way for longer says more than those before it.
  auto oldest = std::find_if(given_.begin(), given_.end(), [](const Given& one) { return one.synced; });
  const Duration waiting = oldest == given_.end() ? Duration::zero() : now - oldest->at;
  return std::max(known ? std::max(mean_, Duration(1)) : Duration::zero(), waiting);
}

Duration Fitness::idle_for(TimePoint now) const {
  if (!given_.empty()) return Duration::zero();
  return synced_at_ == TimePoint::min() ? Duration::max() : now - synced_at_;
}

FitnessReport Fitness::report(TimePoint now) const {
  const auto bounded = [](Duration time) {
    return static_cast<std::uint32_t>(std::min<std::int64_t>(time.count(), UINT32_MAX));
  };
  const Duration answered = synced_at_ == TimePoint::min() ? Duration::zero() : std::max(now - synced_at_, Duration(1));
  return {hangs(now), slow_ || late_, bounded(answered), bounded(write_time(now))};
}

// What is late is remembered and forgotten at a quarter of the time that passes.
void Fitness::ticked(TimePoint due, TimePoint now) {
  if (due + disk_timeout < now) {  // less does not make a disk look hung
    const Duration paused = now - due;
    writes_.pause(paused, now);
    reads_.pause(paused, now);
    for (Given& given : given_) given.at = std::min(given.at + paused, now);
    if (other_since_) *other_since_ = std::min(*other_since_ + paused, now);
  }
  lateness_ = std::max(Duration::zero(), lateness_ - (now - lateness_at_) / lateness_share);
  lateness_at_ = now;
  if (due + lateness_allowed < now) lateness_ += std::min(now - due, lateness_counted);
  lateness_ = std::min(lateness_, lateness_most);
  if (lateness_ >= lateness_limit) late_ = true;
  if (lateness_ == Duration::zero()) late_ = false;
}

// The lower median: of two others the faster one.
Duration Fitness::write_time_of_peers(TimePoint now) const {
  std::vector<std::uint32_t> times;
  for (const auto& [peer, heard] : peers_) {
    if (heard.at + fitness_life > now && heard.report.write_us > 0) times.push_back(heard.report.write_us);
  }
  if (times.empty()) return Duration::zero();
  std::sort(times.begin(), times.end());
  return Duration(times[(times.size() - 1) / 2]);
}

void Fitness::judge(TimePoint now) {
  std::erase_if(peers_, [now](const auto& peer) { return peer.second.at + fitness_life <= now; });
  const Duration own = write_time(now);
  const Duration others = write_time_of_peers(now);
  // Nothing to compare: what was found holds. Below the floor no comparison is needed: the others may have nothing to
  // write for hours.
  if (own == Duration::zero() || (others == Duration::zero() && own >= slow_floor)) return;
  const bool slower = own >= slow_floor && own >= slow_factor * others;
  if (slower == slow_) {
    other_since_.reset();
    return;
  }
  if (!other_since_) other_since_ = now;
  if (*other_since_ + slow_timeout > now) return;
  slow_ = slower;
  other_since_.reset();
}

const FitnessReport* Fitness::said_by(const Uuid& peer, TimePoint now) const {
  auto known = peers_.find(peer);
  return known == peers_.end() || known->second.at + fitness_life <= now ? nullptr : &known->second.report;
}

bool Fitness::answers(const Uuid& peer, TimePoint now) const {
  const FitnessReport* said = said_by(peer, now);
  if (said == nullptr || said->hangs || said->answered_us == 0) return false;
  const TimePoint answered = peers_.at(peer).at - Duration(said->answered_us);
  if (hangs(now) && answered <= now - stalled(now)) return false;
  return answered + disk_timeout > now;
}

bool Fitness::fit(const Uuid& peer, TimePoint now) const { return answers(peer, now) && !said_by(peer, now)->slow; }

bool Fitness::unfit(const Uuid& peer, TimePoint now) const {
  const FitnessReport* said = said_by(peer, now);
  return said != nullptr && (said->hangs || said->slow);
}

}  // namespace ringfs::dht

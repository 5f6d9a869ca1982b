// Remembering who may hold row leases of earlier leaders.
#include "dht/core/raft/former_leases.hpp"

#include <algorithm>
#include <utility>

namespace ringfs::dht {

FormerLeases::FormerLeases(bool created, Duration longest, TimePoint now) : longest_(longest) {
  if (!created) started_until_ = now + longest_;
}

void FormerLeases::follow(Term term) {
  if (term == term_) return;
  term_ = term;
  least_version_ = 0;
}

void FormerLeases::bound() {
  if (until_.size() <= max_lease_holders) return;
  for (const auto& [client, until] : std::exchange(until_, {})) started_until_ = std::max(started_until_, until);
}

void FormerLeases::heard(Term term, const LeaseHolders& holders, TimePoint now) {
  follow(term);
  std::erase_if(until_, [now](const auto& one) { return one.second <= now; });
  for (const Uuid& client : holders.clients) until_[client] = now + longest_;
  bound();
  if (holders.unknown)
    unknown_until_ = now + longest_;
  else if (!no_version_ && holders.version >= least_version_)
    unknown_until_ = TimePoint::min();
}

void FormerLeases::appended(Term term, std::uint64_t lease_version) {
  follow(term);
  least_version_ = std::max(least_version_, lease_version);
  no_version_ = false;
}

void FormerLeases::became_voter(TimePoint now) {
  unknown_until_ = now + longest_;
  no_version_ = true;
}

void FormerLeases::granted(const std::vector<RowLeases::Holder>& holders) {
  for (const auto& [client, until] : holders) {
    TimePoint& known = until_.try_emplace(client, until).first->second;
    known = std::max(known, until);
  }
  bound();
}

void FormerLeases::learn(const std::vector<LeaseHolder>& holders, Duration unknown, TimePoint now) {
  for (const LeaseHolder& holder : holders) {
    TimePoint& known = until_.try_emplace(holder.client, now).first->second;
    known = std::max(known, now + std::min(holder.left, longest_));
  }
  bound();
  if (unknown > Duration::zero()) unknown_until_ = std::max(unknown_until_, now + std::min(unknown, longest_));
}

std::vector<LeaseHolder> FormerLeases::left(TimePoint now) const {
  std::vector<LeaseHolder> left;
  for (const auto& [client, until] : until_) {
    if (until > now) left.push_back({client, until - now});
  }
  return left;
}

Duration FormerLeases::unknown(TimePoint now) const { return std::max({now, started_until_, unknown_until_}) - now; }

TimePoint FormerLeases::free_at(const Uuid& client, TimePoint now) const {
  TimePoint free = now + unknown(now);
  for (const auto& [holder, until] : until_) {
    if (holder != client) free = std::max(free, until);
  }
  return free;
}

}  // namespace ringfs::dht

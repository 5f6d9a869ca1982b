// Letting the kernel keep attributes, and taking them back.
#include "fs/kernel_attributes.hpp"

#include <algorithm>

namespace ringfs::fs {

namespace {

constexpr Duration remembered_lateness = std::chrono::seconds(10);
constexpr Duration sweep_pause = std::chrono::milliseconds(100);

}  // namespace

void KernelAttributes::start(AttributesListener listener) {
  listener_ = std::move(listener);
  instance_.store.on_rows_recalled([this, weak = instance_.weak_from_this()](const RowsRecall& rows, auto done) {
    const std::shared_ptr<Instance> alive = weak.lock();
    return alive != nullptr && recall(rows, std::move(done));
  });
}

Duration KernelAttributes::keep(const Attributes& attributes) {
  if (!started() || attributes.version == 0) return Duration::zero();
  const TimePoint now = instance_.now();
  const RowAddress row = inode_row(attributes.inode);
  const std::optional<TimePoint> leased = instance_.store.leased_until(row, attributes.version);
  if (!leased) return Duration::zero();
  const bool was_late = late_at_ + remembered_lateness > now;
  const Duration rest = *leased - now - lateness - (was_late ? late_ : Duration::zero());
  if (rest <= Duration::zero()) return Duration::zero();
  make_room(now);
  const std::uint64_t hash = row_hash(row);
  const auto place = kept_.find(hash);
  if (place == kept_.end() && kept_.size() >= most_kept) return Duration::zero();
  Kept& kept = place == kept_.end() ? kept_[hash] : place->second;
  const bool same = kept.inode == attributes.inode || kept.ended(now);
  if (!same || kept.quiet_until > now) return Duration::zero();
  kept.inode = attributes.inode;
  kept.until = std::max(kept.until, *leased);
  ++counters_.kept;
  counters_.present = kept_.size();
  return rest;
}

bool KernelAttributes::recall(const RowsRecall& rows, std::function<void()> done) {
  const TimePoint now = instance_.now();
  std::vector<std::uint64_t> hashes;
  if (rows.everything) {
    const unsigned bits = instance_.store.partition_bits();
    for (const auto& [hash, kept] : kept_) {
      if (kept.until > now && partition_of_inode(kept.inode, bits) == rows.partition) hashes.push_back(hash);
    }
  }
  for (const std::uint64_t hash : rows.rows) {
    const auto place = kept_.find(hash);
    if (place == kept_.end()) continue;
    if (place->second.until > now) hashes.push_back(hash);
    if (rows.own_change) place->second.quiet_until = now + own_change_pause;
  }
  return tell(std::move(hashes), std::move(done));
}

// A row stays here until the kernel has been told: a second recall of it must wait, too.
bool KernelAttributes::tell(std::vector<std::uint64_t> hashes, std::function<void()> done) {
  if (hashes.empty() || !started()) return false;
  const TimePoint now = instance_.now();
  std::vector<AttributesRecall> recalls;
  std::vector<TimePoint> untils;
  recalls.reserve(hashes.size());
  for (const std::uint64_t hash : hashes) {
    const Kept& kept = kept_.at(hash);
    sizes_.note_disturbed(kept.inode);
    recalls.push_back({kept.inode, kept.until - now});
    untils.push_back(kept.until);
  }
  counters_.recalled += recalls.size();
  listener_(std::move(recalls), [this, weak = instance_.weak_from_this(), hashes = std::move(hashes),
                                 untils = std::move(untils), done = std::move(done)] {
    const std::shared_ptr<Instance> alive = weak.lock();
    for (std::size_t i = 0; alive && i < hashes.size(); ++i) {
      const auto place = kept_.find(hashes[i]);
      if (place != kept_.end() && place->second.until <= untils[i]) place->second.until = TimePoint::min();
    }
    done();
  });
  return true;
}

void KernelAttributes::leases_are_void() {
  std::vector<std::uint64_t> hashes;
  for (const auto& [hash, kept] : kept_) hashes.push_back(hash);
  static_cast<void>(tell(std::move(hashes), [] {}));
}

void KernelAttributes::loop_was_late(Duration late) {
  const TimePoint now = instance_.now();
  if (late < late_ && late_at_ + remembered_lateness > now) return;
  late_ = std::min(late, longest_lateness);
  late_at_ = now;
}

void KernelAttributes::make_room(TimePoint now) {
  if (kept_.size() < sweep_at_ || now < next_sweep_) return;
  next_sweep_ = now + sweep_pause;
  std::erase_if(kept_, [now](const auto& item) { return item.second.ended(now); });
  sweep_at_ = std::clamp<std::size_t>(2 * kept_.size(), 1024, most_kept);
}

}  // namespace ringfs::fs

// Letting the kernel keep attributes and names, and taking them back.
#include "fs/kernel_leases.hpp"

#include <algorithm>

namespace ringfs::fs {

namespace {

constexpr Duration remembered_lateness = std::chrono::seconds(10);
constexpr Duration sweep_pause = std::chrono::milliseconds(100);

}  // namespace

void KernelLeases::start(KernelListener listener) {
  listener_ = std::move(listener);
  instance_.store.on_rows_recalled([this, weak = instance_.weak_from_this()](const RowsRecall& rows, auto done) {
    const std::shared_ptr<Instance> alive = weak.lock();
    return alive != nullptr && recall(rows, std::move(done));
  });
}

// How long the kernel may keep what the row says; zero: it may not.
Duration KernelLeases::rest_of(const RowAddress& row, std::uint64_t version, TimePoint now, TimePoint& until) const {
  if (!listener_ || version == 0) return Duration::zero();
  const std::optional<TimePoint> leased = instance_.store.leased_until(row, version);
  if (!leased) return Duration::zero();
  until = *leased;
  const bool was_late = late_at_ + remembered_lateness > now;
  return std::max(*leased - now - lateness - (was_late ? late_ : Duration::zero()), Duration::zero());
}

Duration KernelLeases::keep_attributes(const Attributes& attributes) {
  const TimePoint now = instance_.now();
  const RowAddress row = inode_row(attributes.inode);
  TimePoint until{};
  const Duration rest = rest_of(row, attributes.version, now, until);
  if (rest == Duration::zero()) return rest;
  make_room(now);
  const std::uint64_t hash = row_hash(row);
  if (attributes_.size() >= most_kept && !attributes_.contains(hash)) return Duration::zero();
  KeptAttributes& kept = attributes_[hash];
  const bool another = kept.inode != 0 && kept.inode != attributes.inode && !kept.ended(now);
  if (another || kept.quiet_until > now) return Duration::zero();
  kept.inode = attributes.inode;
  kept.until = std::max(kept.until, until);
  ++counters_.attributes_kept;
  return rest;
}

Duration KernelLeases::keep_name(InodeNumber directory, const std::string& name, const Attributes& child) {
  const TimePoint now = instance_.now();
  const bool one_name = S_ISDIR(child.mode) || child.links == 1;
  if (!one_name || child.entry_version == 0) return Duration::zero();
  const RowAddress row = entry_row(directory, name), child_row = inode_row(child.inode);
  TimePoint until{}, child_until{};
  const Duration rest =
      std::min(rest_of(row, child.entry_version, now, until), rest_of(child_row, child.version, now, child_until));
  if (rest == Duration::zero()) return rest;
  make_room(now);
  const std::uint64_t hash = row_hash(row), child_hash = row_hash(child_row);
  if (names_.size() >= most_kept && !names_.contains(hash)) return Duration::zero();
  const auto other = name_of_.find(child_hash);
  if (other != name_of_.end() && other->second != hash) {
    const auto place = names_.find(other->second);
    if (place != names_.end() && place->second.until > now) return Duration::zero();
  }
  KeptName& kept = names_[hash];
  const bool same = kept.directory == directory && kept.name == name && kept.child == child.inode;
  if ((!same && !kept.ended(now)) || kept.quiet_until > now) return Duration::zero();
  if (!same) {
    forget_child(kept, hash);
    kept.directory = directory;
    kept.name = name;
    kept.child = child.inode;
  }
  name_of_[child_hash] = hash;
  kept.until = std::max(kept.until, std::min(until, child_until));
  ++counters_.names_kept;
  return rest;
}

void KernelLeases::collect_attributes(std::uint64_t hash, Collected& collected) {
  const auto place = attributes_.find(hash);
  const TimePoint now = instance_.now();
  if (place == attributes_.end() || place->second.until <= now) return;
  const KeptAttributes& kept = place->second;
  sizes_.note_disturbed(kept.inode);
  collected.recall.attributes.push_back({kept.inode, kept.until - now});
  collected.attributes.emplace_back(hash, kept.until);
}

void KernelLeases::collect_name(std::uint64_t hash, Collected& collected) {
  const auto place = names_.find(hash);
  const TimePoint now = instance_.now();
  if (place == names_.end() || place->second.until <= now) return;
  // A batch that changes an entry usually changes its inode as well.
  if (!collected.seen.insert(hash).second) return;
  const KeptName& kept = place->second;
  sizes_.note_disturbed(kept.child);
  collected.recall.names.push_back({kept.directory, kept.name, kept.child, kept.until - now});
  collected.names.emplace_back(hash, kept.until);
}

// The kernel corrects what it remembers of an inode with the answer to its own change: the name stays then.
void KernelLeases::collect(std::uint64_t hash, bool own_change, Collected& collected) {
  const TimePoint now = instance_.now();
  collect_attributes(hash, collected);
  if (const auto place = attributes_.find(hash); own_change && place != attributes_.end())
    place->second.quiet_until = now + own_change_pause;
  if (const auto name = name_of_.find(hash); !own_change && name != name_of_.end())
    collect_name(name->second, collected);
  collect_name(hash, collected);
  if (const auto place = names_.find(hash); own_change && place != names_.end())
    place->second.quiet_until = now + own_change_pause;
}

bool KernelLeases::recall(const RowsRecall& rows, std::function<void()> done) {
  Collected collected;
  collected.recall.own_change = rows.own_change;
  if (rows.everything) {
    const unsigned bits = instance_.store.partition_bits();
    for (const auto& [hash, kept] : attributes_) {
      if (partition_of_inode(kept.inode, bits) == rows.partition) collect_attributes(hash, collected);
    }
    for (const auto& [hash, kept] : names_) {
      const bool here = partition_of_inode(kept.directory, bits) == rows.partition ||
                        partition_of_inode(kept.child, bits) == rows.partition;
      if (here) collect_name(hash, collected);
    }
  }
  for (const std::uint64_t hash : rows.rows) collect(hash, rows.own_change, collected);
  return tell(std::move(collected), std::move(done));
}

// What is taken back stays here until the kernel has been told: a second recall of it must wait, too.
bool KernelLeases::tell(Collected collected, std::function<void()> done) {
  const bool any = !collected.recall.attributes.empty() || !collected.recall.names.empty();
  if (!any || !listener_) return false;
  counters_.attributes_recalled += collected.recall.attributes.size();
  counters_.names_recalled += collected.recall.names.size();
  KernelRecall recall = std::move(collected.recall);
  listener_(std::move(recall),
            [this, weak = instance_.weak_from_this(), collected = std::move(collected), done = std::move(done)] {
              if (const std::shared_ptr<Instance> alive = weak.lock()) forget(collected);
              done();
            });
  return true;
}

void KernelLeases::forget(const Collected& collected) {
  for (const auto& [hash, until] : collected.attributes) {
    const auto place = attributes_.find(hash);
    if (place != attributes_.end() && place->second.until <= until) place->second.until = TimePoint::min();
  }
  for (const auto& [hash, until] : collected.names) {
    const auto place = names_.find(hash);
    if (place != names_.end() && place->second.until <= until) place->second.until = TimePoint::min();
  }
}

void KernelLeases::leases_are_void() {
  Collected collected;
  for (const auto& [hash, kept] : attributes_) collect_attributes(hash, collected);
  for (const auto& [hash, kept] : names_) collect_name(hash, collected);
  static_cast<void>(tell(std::move(collected), [] {}));
}

void KernelLeases::loop_was_late(Duration late) {
  const TimePoint now = instance_.now();
  if (late < late_ && late_at_ + remembered_lateness > now) return;
  late_ = std::min(late, longest_lateness);
  late_at_ = now;
}

void KernelLeases::forget_child(const KeptName& kept, std::uint64_t hash) {
  const auto name = name_of_.find(row_hash(inode_row(kept.child)));
  if (name != name_of_.end() && name->second == hash) name_of_.erase(name);
}

void KernelLeases::make_room(TimePoint now) {
  if (attributes_.size() + names_.size() < sweep_at_ || now < next_sweep_) return;
  next_sweep_ = now + sweep_pause;
  std::erase_if(attributes_, [now](const auto& item) { return item.second.ended(now); });
  std::erase_if(names_, [this, now](const auto& item) {
    const bool ended = item.second.ended(now);
    if (ended) forget_child(item.second, item.first);
    return ended;
  });
  sweep_at_ = std::max<std::size_t>(2 * (attributes_.size() + names_.size()), 1024);
}

}  // namespace ringfs::fs

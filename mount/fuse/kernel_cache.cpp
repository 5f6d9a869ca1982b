// Timeouts of answers.
#include "mount/fuse/kernel_cache.hpp"

#include "fs/control/control_tree.hpp"

namespace ringfs::mount {
namespace {

constexpr std::size_t most_late = 4096;

double seconds(Duration duration) { return std::chrono::duration<double>(duration).count(); }

}  // namespace

double KernelCache::loose_timeout(const fs::Attributes& attributes) const {
  return fs::ControlTree::owns(attributes.inode) ? 0 : loose_seconds_;
}

double KernelCache::attributes_timeout(const fs::Attributes& attributes) {
  if (!keeps_attributes()) return loose_timeout(attributes);
  if (fs::ControlTree::owns(attributes.inode) || !known_.certain(attributes.inode)) return 0;
  if (marks_.marked(attributes.inode, TimePoint::clock::now())) return 0;
  return seconds(file_system_.keep_attributes(attributes));
}

double KernelCache::name_timeout(const StaleMarks::Name& name, const fs::Attributes& child) {
  if (!keeps_names()) return loose_timeout(child);
  const TimePoint now = TimePoint::clock::now();
  if (fs::ControlTree::owns(child.inode) || marks_.full() || marks_.marked(child.inode, now)) return 0;
  const auto late = late_.find(name.first);
  if (late != late_.end() && now < late->second && file_system_.is_open(child.inode)) return 0;
  return seconds(file_system_.keep_name(name.first, name.second, child));
}

void KernelCache::was_late(fs::InodeNumber directory, TimePoint now) {
  if (late_.size() >= most_late) late_.clear();
  late_[directory] = now + late_pause;
}

std::optional<KernelCache::TimePoint> KernelCache::refuses(fs::InodeNumber inode, pid_t thread) {
  if (!keeps_names() || file_system_.is_open(inode)) return std::nullopt;
  return marks_.refuses(inode, thread, TimePoint::clock::now());
}

std::optional<KernelCache::TimePoint> KernelCache::refuses(const StaleMarks::Name& name, pid_t thread) {
  return keeps_names() ? marks_.refuses(name, thread, TimePoint::clock::now()) : std::nullopt;
}

std::string KernelCache::metrics_text() const {
  std::string text;
  const auto add = [&text](const std::string& name, const char* type, const std::string& help, std::uint64_t value,
                           const std::string& labels = {}) {
    text += "# HELP ringfs_mount_" + name + " " + help + "\n# TYPE ringfs_mount_" + name + " " + type + "\n";
    text += "ringfs_mount_" + name + labels + " " + std::to_string(value) + "\n";
  };
  const fs::KernelLeaseCounters& counters = file_system_.kernel_leases();
  const char* cache = loose_seconds_ > 0   ? "cached"
                      : keeps_names()      ? "full"
                      : keeps_attributes() ? "attributes"
                                           : "none";
  add("kernel_cache", "gauge", "What the kernel may keep of this mount.", 1, std::string("{cache=\"") + cache + "\"}");
  add("attributes_kept_total", "counter", "Answers with which the kernel may keep attributes.",
      counters.attributes_kept);
  add("attributes_recalled_total", "counter", "Attributes taken back from the kernel before they changed.",
      counters.attributes_recalled);
  add("names_kept_total", "counter", "Answers with which the kernel may keep a name.", counters.names_kept);
  add("names_recalled_total", "counter", "Names taken back from the kernel before they changed.",
      counters.names_recalled);
  add("known_inodes", "gauge", "Inodes that the kernel knows.", known_.size());
  return text;
}

}  // namespace ringfs::mount

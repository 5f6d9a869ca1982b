// Timeouts of answers.
#include "mount/fuse/kernel_cache.hpp"

#include "fs/control/control_tree.hpp"

namespace ringfs::mount {

double KernelCache::name_timeout(const fs::Attributes& attributes) const {
  return fs::ControlTree::owns(attributes.inode) ? 0 : loose_seconds_;
}

double KernelCache::attributes_timeout(const fs::Attributes& attributes) {
  if (!keeps_attributes()) return name_timeout(attributes);
  if (fs::ControlTree::owns(attributes.inode) || !known_.certain(attributes.inode)) return 0;
  return std::chrono::duration<double>(file_system_.keep_attributes(attributes)).count();
}

std::string KernelCache::metrics_text() const {
  std::string text;
  const auto add = [&text](const std::string& name, const char* type, const std::string& help, std::uint64_t value,
                           const std::string& labels = {}) {
    text += "# HELP ringfs_mount_" + name + " " + help + "\n# TYPE ringfs_mount_" + name + " " + type + "\n";
    text += "ringfs_mount_" + name + labels + " " + std::to_string(value) + "\n";
  };
  const fs::KernelAttributesCounters& counters = file_system_.kernel_attributes();
  const char* kind = loose_seconds_ > 0   ? "{cache=\"cached\"}"
                     : keeps_attributes() ? "{cache=\"attributes\"}"
                                          : "{cache=\"none\"}";
  add("kernel_cache", "gauge", "What the kernel may keep of this mount.", 1, kind);
  add("attributes_kept_total", "counter", "Answers with which the kernel may keep attributes.", counters.kept);
  add("attributes_recalled_total", "counter", "Attributes taken back from the kernel before they changed.",
      counters.recalled);
  add("known_inodes", "gauge", "Inodes that the kernel knows.", known_.size());
  return text;
}

}  // namespace ringfs::mount

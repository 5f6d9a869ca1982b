// Reading /proc/self/mountinfo (man 5 proc).
#include "mount/commands/mount_table.hpp"

#include <sstream>

#include "dht/base/read_file.hpp"

namespace ringfs::mount {
namespace {

// Space, tab, newline and backslash are written as three octal digits.
std::string unescape(std::string_view text) {
  std::string result;
  for (std::size_t i = 0; i < text.size(); ++i) {
    auto octal = [&](std::size_t at) { return at < text.size() && text[at] >= '0' && text[at] <= '7'; };
    if (text[i] == '\\' && octal(i + 1) && octal(i + 2) && octal(i + 3)) {
      result.push_back(
          static_cast<char>(((text[i + 1] - '0') << 6) | ((text[i + 2] - '0') << 3) | (text[i + 3] - '0')));
      i += 3;
    } else {
      result.push_back(text[i]);
    }
  }
  return result;
}

bool lies_in(const std::string& path, const std::string& directory) {
  return path == directory ||
         (path.starts_with(directory) && (directory.ends_with('/') || path[directory.size()] == '/'));
}

}  // namespace

std::vector<MountEntry> parse_mount_table(std::string_view text) {
  std::vector<MountEntry> entries;
  std::istringstream lines{std::string(text)};
  for (std::string line; std::getline(lines, line);) {
    // id parent major:minor root mount-point options [optional...] - type source super-options
    std::istringstream fields(line);
    std::string id, parent, root, options, field;
    MountEntry entry;
    if (!(fields >> id >> parent >> entry.device >> root >> entry.mount_point >> options)) continue;
    while (fields >> field && field != "-") {
    }
    if (!(fields >> entry.type >> entry.source)) continue;
    entry.mount_point = unescape(entry.mount_point);
    entry.source = unescape(entry.source);
    entries.push_back(std::move(entry));
  }
  return entries;
}

Result<std::vector<MountEntry>> read_mount_table() {
  const Result<std::string> text = read_file("/proc/self/mountinfo");
  if (!text) return tl::unexpected(text.error());
  return parse_mount_table(*text);
}

Result<std::optional<MountEntry>> mount_at(const std::string& path) {
  Result<std::vector<MountEntry>> table = read_mount_table();
  if (!table) return tl::unexpected(table.error());
  std::optional<MountEntry> found;
  for (MountEntry& entry : *table) {
    if (entry.mount_point == path) found = std::move(entry);
  }
  return found;
}

Result<std::optional<MountEntry>> ringfs_mount_of(const std::string& path) {
  Result<std::vector<MountEntry>> table = read_mount_table();
  if (!table) return tl::unexpected(table.error());
  std::optional<MountEntry> found;
  for (MountEntry& entry : *table) {
    if (!lies_in(path, entry.mount_point)) continue;
    if (!found || entry.mount_point.size() >= found->mount_point.size()) found = std::move(entry);
  }
  if (found && found->type != ringfs_mount_type) found.reset();
  return found;
}

}  // namespace ringfs::mount

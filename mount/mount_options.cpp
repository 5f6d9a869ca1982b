#include "mount/mount_options.hpp"

#include <charconv>
#include <sstream>

namespace ringfs {
namespace {

template <class Number>
bool parse_number(std::string_view text, Number lowest, Number highest, Number& value) {
  Number parsed{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), parsed);
  if (error != std::errc() || end != text.data() + text.size() || !(parsed >= lowest && parsed <= highest))
    return false;
  value = parsed;
  return true;
}

}  // namespace

std::vector<std::string> MountOptions::fuse_arguments() const {
  std::string text = "default_permissions,nosuid,nodev,fsname=ringfs,subtype=ringfs";
  if (allow_other) text += ",allow_other";
  if (read_only) text += ",ro";
  if (synchronous) text += ",sync";
  return {"-o", text};
}

Status apply_mount_options(const std::string& text, MountOptions& options) {
  std::istringstream words(text);
  for (std::string word; std::getline(words, word, ',');) {
    const std::size_t equals = word.find('=');
    const std::string name = word.substr(0, equals);
    const std::string value = equals == std::string::npos ? "" : word.substr(equals + 1);
    const bool flag = equals == std::string::npos;
    // Those that are always on are accepted, so that a line of fstab works.
    if (flag && (name == "default_permissions" || name == "nosuid" || name == "nodev" || name == "rw" || name.empty()))
      continue;
    if (flag && name == "allow_other")
      options.allow_other = true;
    else if (flag && name == "ro")
      options.read_only = true;
    else if (flag && (name == "sync" || name == "async"))
      options.synchronous = name == "sync";
    else if (flag && name == "show_ring")
      options.show_ring = true;
    else if (name == "cached") {
      if (!parse_number(value, 0.0, 3600.0, options.cached_seconds)) {
        return fail(ErrorCode::invalid_argument,
                    "-o cached=SECONDS takes a number from 0 to 3600, not '" + value + "'");
      }
    } else if (name == "op_timeout") {
      if (!parse_number(value, 1u, max_op_timeout_seconds, options.operation_timeout_seconds.emplace())) {
        return fail(ErrorCode::invalid_argument, "-o op_timeout=SECONDS takes a number from 1 to " +
                                                     std::to_string(max_op_timeout_seconds) + ", not '" + value + "'");
      }
    } else {
      return fail(ErrorCode::invalid_argument,
                  "unknown mount option '" + word +
                      "' (there are allow_other, ro, sync, show_ring, cached=SECONDS, op_timeout=SECONDS)");
    }
  }
  return {};
}

}  // namespace ringfs

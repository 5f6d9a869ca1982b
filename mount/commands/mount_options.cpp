// The words of -o: the tables, and what they set.
#include "mount/commands/mount_options.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <sstream>

namespace ringfs::mount {
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

struct Flag {
  std::string_view word;
  bool MountOptions::*field;
  bool value;
};

// The kernel has atime and relatime by default; access times only change by utimensat (docs/posix.md).
constexpr auto flags = std::to_array<Flag>({
    {"allow_other", &MountOptions::allow_other, true},
    {"show_ring", &MountOptions::show_ring, true},
    {"ro", &MountOptions::read_only, true},
    {"rw", &MountOptions::read_only, false},
    {"dev", &MountOptions::devices, true},
    {"nodev", &MountOptions::devices, false},
    {"suid", &MountOptions::set_user_id, true},
    {"nosuid", &MountOptions::set_user_id, false},
    {"exec", &MountOptions::no_programs, false},
    {"noexec", &MountOptions::no_programs, true},
    {"atime", &MountOptions::no_access_times, false},
    {"noatime", &MountOptions::no_access_times, true},
    {"relatime", &MountOptions::no_access_times, false},
    {"sync", &MountOptions::synchronous, true},
    {"async", &MountOptions::synchronous, false},
    {"dirsync", &MountOptions::synchronous_directories, true},
});

struct Cache {
  std::string_view word;
  KernelCaches value;
};
constexpr auto caches = std::to_array<Cache>(
    {{"none", KernelCaches::none}, {"attributes", KernelCaches::attributes}, {"full", KernelCaches::full}});

struct File {
  std::string_view word;
  std::string dht::OperatorFiles::*field;
};
constexpr auto tls_files = std::to_array<File>({
    {"tls_ca", &dht::OperatorFiles::authorities},
    {"tls_certificate", &dht::OperatorFiles::certificate},
    {"tls_key", &dht::OperatorFiles::key},
});

// Words that tell mount(8) and init who may mount, and when. default_permissions is always on.
constexpr auto words_for_others =
    std::to_array<std::string_view>({"", "auto", "noauto", "defaults", "default_permissions", "group", "nofail",
                                     "nouser", "owner", "user", "users", "_netdev"});
constexpr auto prefixes_for_others = std::to_array<std::string_view>({"x-", "X-", "comment=", "user="});

constexpr std::size_t max_source_bytes = 64;

bool is_for_others(std::string_view word) {
  return std::find(words_for_others.begin(), words_for_others.end(), word) != words_for_others.end() ||
         std::any_of(prefixes_for_others.begin(), prefixes_for_others.end(),
                     [&](std::string_view prefix) { return word.starts_with(prefix); });
}

// libfuse splits the options again: a comma or a backslash inside a word has a backslash before it.
std::string escaped(const std::string& text) {
  std::string result;
  for (const char c : text) {
    if (c == ',' || c == '\\') result.push_back('\\');
    result.push_back(c);
  }
  return result;
}

Status apply_value(const std::string& name, const std::string& value, MountOptions& options) {
  if (name == "cache") {
    const auto cache = std::find_if(caches.begin(), caches.end(), [&](const Cache& one) { return one.word == value; });
    if (cache == caches.end())
      return fail(ErrorCode::invalid_argument, "-o cache= takes full, attributes or none, not '" + value + "'");
    options.cache = cache->value;
    return {};
  }
  if (name == "cached") {
    if (parse_number(value, 0.0, 3600.0, options.cached_seconds)) return {};
    return fail(ErrorCode::invalid_argument, "-o cached=SECONDS takes a number from 0 to 3600, not '" + value + "'");
  }
  if (name == "op_timeout") {
    if (parse_number(value, 1u, max_op_timeout_seconds, options.operation_timeout_seconds.emplace())) return {};
    return fail(ErrorCode::invalid_argument, "-o op_timeout=SECONDS takes a number from 1 to " +
                                                 std::to_string(max_op_timeout_seconds) + ", not '" + value + "'");
  }
  if (name == "fsname") {
    options.source = value;
    if (!value.empty()) return {};
    return fail(ErrorCode::invalid_argument, "-o fsname=NAME takes a name");
  }
  const auto file = std::find_if(tls_files.begin(), tls_files.end(), [&](const File& one) { return one.word == name; });
  if (file != tls_files.end()) {
    options.tls.*file->field = value;
    if (!value.empty()) return {};
    return fail(ErrorCode::invalid_argument, "-o " + name + "=FILE takes a file");
  }
  if (name == "subtype") {
    if (value == "ringfs") return {};
    return fail(ErrorCode::invalid_argument, "a RingFS has the type fuse.ringfs: -o subtype=" + value + " cannot be");
  }
  return fail(ErrorCode::invalid_argument, "unknown mount option '" + name +
                                               "' (there are allow_other, show_ring, cache=WHAT, cached=SECONDS, "
                                               "op_timeout=SECONDS, fsname=NAME, tls_ca=FILE, tls_certificate=FILE, "
                                               "tls_key=FILE, and of mount(8) ro, rw, dev, "
                                               "nodev, suid, nosuid, exec, noexec, atime, noatime, relatime, sync, "
                                               "async, dirsync, and what is meant for mount(8) itself)");
}

}  // namespace

std::vector<std::string> MountOptions::fuse_arguments() const {
  std::string text = "default_permissions,subtype=ringfs,fsname=" + escaped(source);
  text += set_user_id ? ",suid" : ",nosuid";
  text += devices ? ",dev" : ",nodev";
  if (no_programs) text += ",noexec";
  if (no_access_times) text += ",noatime";
  if (synchronous) text += ",sync";
  if (synchronous_directories) text += ",dirsync";
  if (allow_other) text += ",allow_other";
  if (read_only) text += ",ro";
  return {"-o", text};
}

Status apply_mount_options(const std::string& text, MountOptions& options) {
  std::istringstream words(text);
  for (std::string word; std::getline(words, word, ',');) {
    if (is_for_others(word)) continue;
    const auto flag = std::find_if(flags.begin(), flags.end(), [&](const Flag& one) { return one.word == word; });
    if (flag != flags.end()) {
      options.*flag->field = flag->value;
      continue;
    }
    const std::size_t equals = word.find('=');
    const bool has_value = equals != std::string::npos;
    const std::string name = word.substr(0, equals);
    const bool is_flag = std::any_of(flags.begin(), flags.end(), [&](const Flag& one) { return one.word == name; });
    Status applied = apply_value(is_flag ? word : name, has_value ? word.substr(equals + 1) : "", options);
    if (!applied) return applied;
  }
  return {};
}

Status check_privileged_options(const MountOptions& options, bool is_root) {
  if (is_root || (!options.devices && !options.set_user_id)) return {};
  return fail(ErrorCode::not_permitted, std::string("only root may mount with the option ") +
                                            (options.devices ? "dev" : "suid") + "; leave it away");
}

std::string source_of(const std::string& addresses) {
  if (addresses.size() <= max_source_bytes) return addresses;
  const std::size_t end = addresses.rfind(',', max_source_bytes);
  return addresses.substr(0, end == std::string::npos ? addresses.find(',') : end);
}

}  // namespace ringfs::mount

// The table of settings with their limits, and reading their values.
#include "dht/base/ring/settings.hpp"

#include <algorithm>
#include <array>
#include <charconv>

namespace ringfs {

namespace {

constexpr std::uint64_t month_in_seconds = 31ULL * 24 * 3600;

// The order is part of the inode numbers of .ring/config: append, never reorder.
constexpr auto rules = std::to_array<SettingRule>({
    {replication_setting, 1, 7, 3},                     // copies of everything, if there are as many nodes
    {replace_after_setting, 1, month_in_seconds, 300},  // seconds without an answer, after which a node counts as dead
    // Bytes a second that a node sends to new replicas; 0: no data moves.
    {rebalance_rate_setting, 0, unlimited_rebalance_rate, unlimited_rebalance_rate},
    {op_timeout_setting, 1, max_op_timeout_seconds,
     default_op_timeout_seconds},  // seconds after which an operation of a client fails
});

}  // namespace

std::span<const SettingRule> setting_rules() { return rules; }

const SettingRule* find_setting(std::string_view name) {
  const auto found =
      std::find_if(rules.begin(), rules.end(), [&](const SettingRule& rule) { return rule.name == name; });
  return found == rules.end() ? nullptr : &*found;
}

Result<std::uint64_t> parse_setting(std::string_view name, std::string_view text) {
  const SettingRule* rule = find_setting(name);
  if (rule == nullptr) return fail(ErrorCode::not_found, "no setting " + std::string(name));
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const std::string range = "a number from " + std::to_string(rule->lowest) + " to " + std::to_string(rule->highest);
  if (error == std::errc::result_out_of_range) return fail(ErrorCode::out_of_range, range);
  if (error != std::errc() || end != text.data() + text.size()) return fail(ErrorCode::invalid_argument, range);
  if (value < rule->lowest || value > rule->highest) return fail(ErrorCode::out_of_range, range);
  return value;
}

std::uint64_t setting_value(const std::map<std::string, std::string>& settings, std::string_view name) {
  const SettingRule* rule = find_setting(name);
  RINGFS_CHECK(rule != nullptr);
  const auto row = settings.find(std::string(name));
  if (row == settings.end()) return rule->initial;
  const Result<std::uint64_t> value = parse_setting(name, row->second);
  return value ? *value : rule->initial;
}

}  // namespace ringfs

// The ring-wide settings: rows "s/<name>" of the members table (dht/core/protocol/members_table.hpp), numbers as
// decimal text.
//
// Pure functions. A setting that is absent, or was written by a program that knows more, has its initial value here.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>

#include "dht/base/error.hpp"

namespace ringfs {

struct SettingRule {
  std::string_view name;
  std::uint64_t lowest = 0, highest = 0, initial = 0;
};

inline constexpr std::string_view replication_setting = "replication";
inline constexpr std::string_view replace_after_setting = "replace_after";
inline constexpr std::string_view op_timeout_setting = "op_timeout";
// A batch that was not applied a minute after it was sent is never applied (max_batch_life), so an operation's limit
// stays below.
inline constexpr unsigned max_op_timeout_seconds = 50;
inline constexpr unsigned default_op_timeout_seconds = 30;
inline constexpr std::string_view rebalance_rate_setting = "rebalance_rate";
inline constexpr std::uint64_t unlimited_rebalance_rate = std::uint64_t{1} << 40;

std::span<const SettingRule> setting_rules();
const SettingRule* find_setting(std::string_view name);

// `name` must be one of the rules (checked).
std::uint64_t setting_value(const std::map<std::string, std::string>& settings, std::string_view name);
// Errors: not_found (no such setting), invalid_argument (not a number), out_of_range.
Result<std::uint64_t> parse_setting(std::string_view name, std::string_view text);

}  // namespace ringfs

// What the commands share: their options, and how they print.
#include "mount/commands/command_line.hpp"

#include <algorithm>
#include <cstdio>
#include <iostream>
#include <sstream>

#include "mount/commands/local_ring.hpp"

namespace ringfs::mount {

int report(const Error& error, const std::string& next) {
  std::string text = error.context.empty() ? std::string(to_string(error.code)) : error.context;
  while (text.ends_with('\n')) text.pop_back();
  std::cerr << "ringfs: " << text << "\n";
  if (!next.empty()) std::cerr << "  try: " << next << "\n";
  if (error.code == ErrorCode::timeout) return exit_timeout;
  return exit_failed;
}

void add_output_option(CLI::App& command, std::string& output) {
  command.add_option("--output", output, "table or json")->check(CLI::IsMember({"table", "json"}));
}

void add_timeout_option(CLI::App& command, int& seconds, int most) {
  command.add_option("--timeout", seconds, "Seconds after which to give up")->check(CLI::Range(1, most));
}

void add_tls_options(CLI::App& command, dht::OperatorFiles& files) {
  auto* authorities =
      command.add_option("--tls-ca", files.authorities,
                         "A file with the authority that issues the ring's certificates, if that is an operator's own");
  auto* certificate =
      command.add_option("--tls-certificate", files.certificate, "A file with a client's certificate from it");
  auto* key = command.add_option("--tls-key", files.key, "A file with its private key");
  authorities->needs(certificate);
  certificate->needs(key);
  key->needs(authorities);
}

void RingOptions::add_to(CLI::App& command) {
  command.add_option("--node", nodes, "Nodes of the ring to ask first: host:port[,host:port]");
  command.add_option("--state", state, "State directory of a local ring (default: that of `ringfs up`)");
  add_output_option(command, output);
  add_timeout_option(command, timeout_seconds, 86400);
  add_tls_options(command, tls);
}

int report_asking(const RingOptions& options, const Error& error) {
  std::string next = "ringfs doctor";
  if (!options.nodes.empty())
    next += " --node " + options.nodes;
  else if (!options.state.empty())
    next += " --state " + options.state;
  if (error.code == ErrorCode::not_found) next = "ringfs up MOUNTPOINT";
  return report(error, next);
}

std::vector<std::string> split_list(const std::string& text) {
  std::vector<std::string> parts;
  std::istringstream words(text);
  for (std::string word; std::getline(words, word, ',');) {
    if (!word.empty()) parts.push_back(word);
  }
  return parts;
}

Result<std::vector<std::string>> ring_addresses(const RingOptions& options) {
  if (!options.nodes.empty()) return split_list(options.nodes);
  const StateDirectory state(options.state.empty() ? default_state_directory() : std::filesystem::path(options.state));
  const Result<LocalRing> ring = state.load();
  if (!ring && ring.error().code == ErrorCode::not_found) {
    return fail(ErrorCode::not_found,
                ring.error().context + "; name a node with --node HOST:PORT, or start a local ring");
  }
  if (!ring) return tl::unexpected<Error>(ring.error());
  return ring->addresses();
}

void print_table(const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  for (const auto& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      line += row[i];
      if (i + 1 < row.size()) line.append(widths[i] - row[i].size() + 2, ' ');
    }
    std::cout << line << "\n";
  }
}

void print_json(const nlohmann::ordered_json& json) {
  std::cout << json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) << "\n";
}

std::string human_bytes(std::uint64_t bytes) {
  static constexpr const char* units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
  double value = static_cast<double>(bytes);
  std::size_t unit = 0;
  while (value >= 1024 && unit + 1 < std::size(units)) {
    value /= 1024;
    ++unit;
  }
  char text[32];
  std::snprintf(text, sizeof text, unit == 0 ? "%.0f %s" : "%.1f %s", value, units[unit]);
  return text;
}

}  // namespace ringfs::mount

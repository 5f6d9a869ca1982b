// Reading /proc/net/unix.
#include "mount/commands/trust/local_nodes.hpp"

#include <algorithm>
#include <fstream>
#include <sstream>

#include "dht/net/sockets/dial.hpp"

namespace ringfs::mount {

namespace {

constexpr const char* table_file = "/proc/net/unix";
constexpr std::string_view prefix = "@ringfs/";
constexpr unsigned long listening = 1UL << 16;  // SO_ACCEPTCON in the flags

}  // namespace

std::vector<std::string> nodes_in(const std::string& table) {
  std::vector<std::string> nodes;
  std::istringstream lines(table);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string number, references, protocol, type, state, inode, path;
    unsigned long flags = 0;
    words >> number >> references >> protocol >> std::hex >> flags >> type >> state >> inode >> path;
    if (!words || (flags & listening) == 0 || !path.starts_with(prefix)) continue;
    const std::string address = path.substr(prefix.size());
    if (dht::split_address(address)) nodes.push_back(address);
  }
  std::sort(nodes.begin(), nodes.end());
  nodes.erase(std::unique(nodes.begin(), nodes.end()), nodes.end());
  return nodes;
}

Result<std::vector<std::string>> local_nodes() {
  std::ifstream file(table_file);
  std::ostringstream text;
  if (file) text << file.rdbuf();
  if (!file || !text) return fail(ErrorCode::io_error, std::string("cannot read ") + table_file);
  return nodes_in(text.str());
}

}  // namespace ringfs::mount

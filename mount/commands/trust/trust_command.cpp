// Which nodes the commands about trust ask, and how they print times.
#include "mount/commands/trust/trust_command.hpp"

#include <array>
#include <ctime>

#include "mount/commands/trust/local_nodes.hpp"

namespace ringfs::mount {

Result<std::vector<std::string>> trust_addresses(const RingOptions& options) {
  Result<std::vector<std::string>> addresses = ring_addresses(options);
  const bool named = !options.nodes.empty() || !options.state.empty();
  if (addresses || named || addresses.error().code != ErrorCode::not_found) return addresses;
  Result<std::vector<std::string>> local = local_nodes();
  if (!local) return local;
  return local->empty() ? std::move(addresses) : std::move(local);
}

std::string time_text(Stamp stamp) {
  const std::time_t seconds = static_cast<std::time_t>(stamp.microseconds / 1'000'000);
  std::tm broken_down{};
  if (gmtime_r(&seconds, &broken_down) == nullptr) return "?";
  std::array<char, 32> text{};
  const std::size_t size = std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &broken_down);
  return std::string(text.data(), size);
}

}  // namespace ringfs::mount

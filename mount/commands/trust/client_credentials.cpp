// Finding, getting and keeping a user's certificates.
#include "mount/commands/trust/client_credentials.hpp"

#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/asio/io_context.hpp>
#include <cstdlib>
#include <optional>

#include "dht/base/random.hpp"
#include "dht/net/sockets/dial.hpp"
#include "dht/net/transport/join_ring.hpp"
#include "dht/net/transport/system_clock.hpp"
#include "dht/net/trust/credential_files.hpp"
#include "mount/commands/run_task.hpp"

namespace ringfs::mount {

namespace {

namespace filesystem = std::filesystem;

constexpr auto join_timeout = std::chrono::seconds(60);
constexpr std::uint64_t name_numbers = 1'000'000;

std::string home_directory() {
  if (const char* home = std::getenv("HOME"); home != nullptr && *home != '\0') return home;
  const passwd* user = getpwuid(geteuid());
  return user == nullptr ? "/" : user->pw_dir;
}

struct KnownRing {
  filesystem::path directory;
  std::vector<std::string> nodes;

  bool has_one_of(const std::vector<std::string>& addresses) const {
    return std::any_of(addresses.begin(), addresses.end(), [this](const std::string& address) {
      return std::find(nodes.begin(), nodes.end(), address) != nodes.end();
    });
  }
};

Result<std::vector<KnownRing>> known_rings() {
  std::vector<KnownRing> rings;
  std::error_code none;  // a user without any
  for (const auto& entry : filesystem::directory_iterator(credentials_directory(), none)) {
    if (!parse_uuid(entry.path().filename().string())) continue;
    Result<std::vector<std::string>> nodes = dht::load_addresses(entry.path());
    if (!nodes) return tl::unexpected(nodes.error());
    rings.push_back({entry.path(), std::move(*nodes)});
  }
  return rings;
}

// By an address; else the only one there is.
Result<std::optional<KnownRing>> ring_of(const std::vector<std::string>& addresses) {
  Result<std::vector<KnownRing>> rings = known_rings();
  if (!rings) return tl::unexpected(rings.error());
  for (const KnownRing& ring : *rings) {
    if (ring.has_one_of(addresses)) return std::optional(ring);
  }
  if (rings->size() == 1) return std::optional(rings->front());
  return std::optional<KnownRing>();
}

std::string default_name() {
  std::array<char, 256> host{};
  std::string name = gethostname(host.data(), host.size() - 1) == 0 ? host.data() : "client";
  for (char& character : name) {
    if (!check_client_name(std::string_view(&character, 1)) && character != '-' && character != '.') character = '_';
  }
  name = name.substr(0, max_client_name_bytes / 2);
  SystemRandom random;
  const std::string number = std::to_string(random.below(name_numbers));
  return (check_client_name(name) ? name : std::string("client")) + "-" + number;
}

}  // namespace

filesystem::path credentials_directory() {
  const char* configured = std::getenv("XDG_CONFIG_HOME");
  const bool absolute = configured != nullptr && *configured == '/';
  return (absolute ? filesystem::path(configured) : filesystem::path(home_directory()) / ".config") / "ringfs";
}

Result<std::shared_ptr<dht::RingTrust>> credentials_for(const std::vector<std::string>& addresses) {
  if (std::all_of(addresses.begin(), addresses.end(), dht::is_of_this_machine))
    return std::shared_ptr<dht::RingTrust>();
  const Result<std::optional<KnownRing>> ring = ring_of(addresses);
  if (!ring) return tl::unexpected(ring.error());
  if (!*ring) return std::shared_ptr<dht::RingTrust>();
  Result<std::optional<dht::StoredCredentials>> stored = dht::load_credentials((*ring)->directory);
  if (!stored) return tl::unexpected(stored.error());
  if (!*stored) return std::shared_ptr<dht::RingTrust>();
  return dht::RingTrust::make((*stored)->identity.ring, std::move((*stored)->own), std::move((*stored)->authorities));
}

Result<dht::OperatorTrust> client_trust(dht::OperatorFiles files) {
  dht::ExpectedHolder client;
  client.kind = dht::Identity::Kind::client;
  return dht::OperatorTrust::make(std::move(files), client);
}

Result<std::string> join_as_client(const ClientJoining& joining) {
  const Result<std::optional<KnownRing>> known = ring_of(joining.nodes);
  if (!known) return tl::unexpected(known.error());
  if (*known && (*known)->has_one_of(joining.nodes)) {
    Result<std::optional<dht::StoredCredentials>> stored = dht::load_credentials((*known)->directory);
    if (!stored) return tl::unexpected(stored.error());
    if (*stored) return (*stored)->identity.name;
  }
  Result<dht::Token> token = dht::parse_token(joining.token);
  if (!token) return tl::unexpected(token.error());
  Result<dht::PrivateKey> key = dht::PrivateKey::generate();
  if (!key) return tl::unexpected(key.error());
  dht::JoinOrder order{.addresses = joining.nodes,
                       .token = *token,
                       .kind = dht::Identity::Kind::client,
                       .node = {},
                       .name = joining.name.empty() ? default_name() : joining.name,
                       .key = *key,
                       .address = {},
                       .rest_address = {}};
  boost::asio::io_context loop(1);
  Result<dht::JoinAnswer> answer =
      run_task(loop, dht::join_ring(loop.get_executor(), std::move(order), dht::boot_time() + join_timeout));
  if (!answer) return tl::unexpected(answer.error());
  Result<dht::StoredCredentials> got =
      dht::credentials_of(*answer, *key, dht::client_identity(answer->ring, answer->name));
  if (!got) return tl::unexpected(got.error());
  const filesystem::path directory = credentials_directory() / answer->ring.text();
  if (Status saved = dht::save_credentials(directory, *got); !saved) return tl::unexpected(saved.error());
  if (Status saved = dht::save_addresses(directory, joining.nodes); !saved) return tl::unexpected(saved.error());
  return answer->name;
}

}  // namespace ringfs::mount

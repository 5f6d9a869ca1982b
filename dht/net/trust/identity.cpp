// Identities as URIs.
#include "dht/net/trust/identity.hpp"

#include <utility>

namespace ringfs::dht {

namespace {

constexpr std::string_view scheme = "ringfs://";
constexpr std::size_t uuid_text_bytes = 36;

}  // namespace

std::string Identity::uri() const {
  const std::string who = kind == Kind::node ? "/node/" + node.text() : "/client/" + name;
  return std::string(scheme) + ring.text() + who;
}

Identity node_identity(const Uuid& ring, const Uuid& node) {
  return {.ring = ring, .kind = Identity::Kind::node, .node = node, .name = {}};
}

Identity client_identity(const Uuid& ring, std::string name) {
  return {.ring = ring, .kind = Identity::Kind::client, .node = {}, .name = std::move(name)};
}

Result<Identity> parse_identity(std::string_view uri) {
  auto refused = [] { return fail(ErrorCode::invalid_argument, "not the URI of a node or client of a ring"); };
  if (!uri.starts_with(scheme)) return refused();
  uri.remove_prefix(scheme.size());
  if (uri.size() <= uuid_text_bytes) return refused();
  Result<Uuid> ring = parse_uuid(uri.substr(0, uuid_text_bytes));
  if (!ring) return refused();
  uri.remove_prefix(uuid_text_bytes);
  if (constexpr std::string_view node = "/node/"; uri.starts_with(node)) {
    Result<Uuid> id = parse_uuid(uri.substr(node.size()));
    if (!id) return refused();
    return node_identity(*ring, *id);
  }
  if (constexpr std::string_view client = "/client/"; uri.starts_with(client)) {
    const std::string_view name = uri.substr(client.size());
    if (!check_client_name(name)) return refused();
    return client_identity(*ring, std::string(name));
  }
  return refused();
}

}  // namespace ringfs::dht

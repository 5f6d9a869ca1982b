// Identities as URIs.
#include "dht/net/trust/identity.hpp"

#include <array>
#include <utility>

namespace ringfs::dht {

namespace {

constexpr std::string_view scheme = "ringfs://";
constexpr std::size_t uuid_text_bytes = 36;

constexpr std::array<std::pair<AccessRole, std::string_view>, 4> role_names{{{AccessRole::reader, "reader"},
                                                                             {AccessRole::writer, "writer"},
                                                                             {AccessRole::admin, "admin"},
                                                                             {AccessRole::node, "node"}}};

bool is_name_character(char character) {
  return (character >= 'a' && character <= 'z') || (character >= 'A' && character <= 'Z') ||
         (character >= '0' && character <= '9') || character == '.' || character == '_' || character == '-';
}

}  // namespace

std::string_view to_string(AccessRole role) {
  for (const auto& [value, name] : role_names) {
    if (value == role) return name;
  }
  return "unknown";
}

Result<AccessRole> parse_access_role(std::string_view text) {
  for (const auto& [value, name] : role_names) {
    if (name == text) return value;
  }
  return fail(ErrorCode::invalid_argument, "a role is reader, writer, admin or node");
}

Status check_client_name(std::string_view name) {
  bool fits = !name.empty() && name.size() <= max_client_name_bytes && name.front() != '.' && name.front() != '-';
  for (char character : name) fits = fits && is_name_character(character);
  if (fits) return {};
  return fail(ErrorCode::invalid_argument,
              "a client's name has 1 to " + std::to_string(max_client_name_bytes) +
                  " letters, digits, '.', '_' or '-', and begins with a letter, digit or '_'");
}

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

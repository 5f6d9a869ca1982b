// The names of roles, and which names clients may have.
#include "dht/base/ring/access_role.hpp"

#include <array>
#include <utility>

namespace ringfs {

namespace {

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

}  // namespace ringfs

// The members table: its bytes and its rows.
#include "dht/core/protocol/members_table.hpp"

#include <algorithm>
#include <charconv>

#include "dht/base/ring/settings.hpp"

namespace ringfs::dht {

namespace {

constexpr std::uint8_t plain_format = 1;  // of a table and of a member: without anything of certificates
constexpr std::uint8_t keyed_format = 2;
constexpr std::uint8_t client_format = 1;
constexpr std::size_t max_address_bytes = 300;  // a host name of 253 bytes, brackets, a colon and a port
constexpr std::size_t max_settings = 64;
constexpr std::size_t max_setting_name_bytes = 64;
constexpr std::size_t max_setting_value_bytes = 1024;
constexpr std::size_t token_bytes = 20;
constexpr std::size_t smallest_member_bytes = 1 + 16 + 4 + 4 + 1 + 4 + 4;
constexpr std::size_t smallest_setting_bytes = 4 + 4;
constexpr std::size_t client_bytes = 1 + 1 + 1 + sizeof(KeyHash);
constexpr std::size_t smallest_client_bytes = 4 + client_bytes;
constexpr std::size_t smallest_authority_bytes = 4 + 4;
constexpr std::size_t authority_name_bytes = 2 * sizeof(KeyHash);

constexpr std::string_view member_prefix = "m/";
constexpr std::string_view setting_prefix = "s/";
constexpr std::string_view client_prefix = "c/";
constexpr std::string_view authority_prefix = "a/";
constexpr std::string_view version_sort = "v";

void write(Writer& writer, const KeyHash& key) {
  for (std::uint8_t byte : key) writer.u8(byte);
}

KeyHash read_key(Reader& reader) {
  KeyHash key{};
  for (std::uint8_t& byte : key) byte = reader.u8();
  return key;
}

void write(Writer& writer, const Member& member) {
  writer.u8(member.key ? keyed_format : plain_format);
  write(writer, member.id);
  writer.string(member.address);
  writer.string(member.rest_address);
  writer.u8(static_cast<std::uint8_t>(member.state));
  writer.u32(member.weight);
  writer.u32(static_cast<std::uint32_t>(member.tokens.size()));
  for (const Position& token : member.tokens) write(writer, token);
  if (member.key) write(writer, *member.key);
}

bool known_state(std::uint8_t state) {
  return state >= static_cast<std::uint8_t>(MemberState::joining) &&
         state <= static_cast<std::uint8_t>(MemberState::removed);
}

Result<Member> read_member(Reader& reader) {
  const std::uint8_t format = reader.u8();
  if (format != plain_format && format != keyed_format) return fail(ErrorCode::corrupt, "format of a member");
  Member member;
  member.id = read_uuid(reader);
  member.address = reader.string();
  member.rest_address = reader.string();
  std::uint8_t state = reader.u8();
  member.weight = reader.u32();
  std::size_t tokens = reader.count(token_bytes);
  if (!reader.ok()) return fail(ErrorCode::corrupt, "a member is cut short");
  if (member.id.is_nil()) return fail(ErrorCode::corrupt, "a member without a uuid");
  if (member.address.size() > max_address_bytes || member.rest_address.size() > max_address_bytes) {
    return fail(ErrorCode::corrupt, "a member's address is too long");
  }
  if (!known_state(state)) return fail(ErrorCode::corrupt, "state of a member");
  member.state = static_cast<MemberState>(state);
  if (tokens > max_tokens_per_member) return fail(ErrorCode::corrupt, "a member has too many tokens");
  member.tokens.reserve(tokens);
  for (std::size_t i = 0; i < tokens; ++i) {
    Position token = read_position(reader);
    if (!member.tokens.empty() && token <= member.tokens.back()) {
      return fail(ErrorCode::corrupt, "a member's tokens are not ascending");
    }
    member.tokens.push_back(token);
  }
  if (format == keyed_format) member.key = read_key(reader);
  if (!reader.ok()) return fail(ErrorCode::corrupt, "a member is cut short");
  return member;
}

// Without the name, which is beside it.
void write(Writer& writer, const Client& client) {
  writer.u8(client_format);
  writer.u8(static_cast<std::uint8_t>(client.role));
  writer.u8(client.revoked ? 1 : 0);
  write(writer, client.key);
}

Result<Client> read_client(Reader& reader, std::string_view name) {
  if (reader.u8() != client_format) return fail(ErrorCode::corrupt, "format of a client");
  const std::uint8_t role = reader.u8();
  const std::uint8_t revoked = reader.u8();
  Client client;
  client.name = name;
  client.key = read_key(reader);
  if (!reader.ok()) return fail(ErrorCode::corrupt, "a client is cut short");
  if (!check_client_name(name)) return fail(ErrorCode::corrupt, "the name of a client");
  const bool known_role =
      role >= static_cast<std::uint8_t>(AccessRole::reader) && role <= static_cast<std::uint8_t>(AccessRole::admin);
  if (!known_role || revoked > 1) return fail(ErrorCode::corrupt, "role of a client");
  client.role = static_cast<AccessRole>(role);
  client.revoked = revoked == 1;
  return client;
}

bool authority_in_limits(std::string_view name, std::string_view certificate) {
  const bool hexadecimal = name.find_first_not_of("0123456789abcdef") == std::string_view::npos;
  return name.size() == authority_name_bytes && hexadecimal && !certificate.empty() &&
         certificate.size() <= max_authority_bytes;
}

bool setting_in_limits(std::string_view name, std::string_view value) {
  return !name.empty() && name.size() <= max_setting_name_bytes && value.size() <= max_setting_value_bytes;
}

}  // namespace

const Member* MembersTable::find(const Uuid& id) const {
  auto found = std::lower_bound(members.begin(), members.end(), id,
                                [](const Member& member, const Uuid& wanted) { return member.id < wanted; });
  return found != members.end() && found->id == id ? &*found : nullptr;
}

const Client* MembersTable::find_client(std::string_view name) const {
  auto found = std::lower_bound(clients.begin(), clients.end(), name,
                                [](const Client& client, std::string_view wanted) { return client.name < wanted; });
  return found != clients.end() && found->name == name ? &*found : nullptr;
}

// Settings are checked before they are committed. A row that is wrong all the same counts as absent on every node: it
// must not keep any of them from reading the table.
unsigned MembersTable::replication() const {
  return static_cast<unsigned>(setting_value(settings, replication_setting));
}

Duration MembersTable::replace_after() const {
  return std::chrono::seconds(setting_value(settings, replace_after_setting));
}

std::optional<std::uint64_t> MembersTable::rebalance_rate() const {
  const std::uint64_t rate = setting_value(settings, rebalance_rate_setting);
  return rate == unlimited_rebalance_rate ? std::nullopt : std::optional(rate);
}

std::string encode(const Member& member) {
  Writer writer;
  write(writer, member);
  return writer.take();
}

Result<Member> decode_member(std::string_view bytes) {
  Reader reader(bytes);
  Result<Member> member = read_member(reader);
  if (member && !reader.done()) return fail(ErrorCode::corrupt, "bytes behind a member");
  return member;
}

namespace {

// A member's key makes no difference here: it says so itself.
bool is_plain(const MembersTable& table) { return table.clients.empty() && table.authorities.empty(); }

void write_trust(Writer& writer, const MembersTable& table) {
  writer.u32(static_cast<std::uint32_t>(table.clients.size()));
  for (const Client& client : table.clients) {
    writer.string(client.name);
    write(writer, client);
  }
  writer.u32(static_cast<std::uint32_t>(table.authorities.size()));
  for (const auto& [name, certificate] : table.authorities) {
    writer.string(name);
    writer.string(certificate);
  }
}

Status read_clients(Reader& reader, MembersTable& table) {
  const std::size_t clients = reader.count(smallest_client_bytes);
  if (clients > max_clients) return fail(ErrorCode::corrupt, "too many clients");
  for (std::size_t i = 0; i < clients; ++i) {
    const std::string name(reader.string());
    Result<Client> client = read_client(reader, name);
    if (!client) return tl::unexpected<Error>(client.error());
    if (!table.clients.empty() && name <= table.clients.back().name)
      return fail(ErrorCode::corrupt, "clients are not ascending");
    table.clients.push_back(std::move(*client));
  }
  return {};
}

Status read_authorities(Reader& reader, MembersTable& table) {
  const std::size_t authorities = reader.count(smallest_authority_bytes);
  if (authorities > max_authorities) return fail(ErrorCode::corrupt, "too many authorities");
  for (std::size_t i = 0; i < authorities; ++i) {
    std::string name(reader.string());
    std::string certificate(reader.string());
    if (!reader.ok() || !authority_in_limits(name, certificate))
      return fail(ErrorCode::corrupt, "an authority is out of limits");
    if (!table.authorities.empty() && name <= table.authorities.rbegin()->first)
      return fail(ErrorCode::corrupt, "authorities are not ascending");
    table.authorities.emplace_hint(table.authorities.end(), std::move(name), std::move(certificate));
  }
  return {};
}

Status read_members(Reader& reader, MembersTable& table) {
  const std::size_t members = reader.count(smallest_member_bytes);
  if (!reader.ok()) return fail(ErrorCode::corrupt, "the members table is cut short");
  if (members > max_members) return fail(ErrorCode::corrupt, "too many members");
  table.members.reserve(members);
  for (std::size_t i = 0; i < members; ++i) {
    Result<Member> member = read_member(reader);
    if (!member) return tl::unexpected<Error>(member.error());
    if (!table.members.empty() && member->id <= table.members.back().id) {
      return fail(ErrorCode::corrupt, "members are not ascending");
    }
    table.members.push_back(std::move(*member));
  }
  return {};
}

Status read_settings(Reader& reader, MembersTable& table) {
  const std::size_t settings = reader.count(smallest_setting_bytes);
  if (settings > max_settings) return fail(ErrorCode::corrupt, "too many settings");
  for (std::size_t i = 0; i < settings && reader.ok(); ++i) {
    std::string name(reader.string());
    std::string value(reader.string());
    if (!reader.ok()) break;
    if (!setting_in_limits(name, value)) return fail(ErrorCode::corrupt, "a setting is out of limits");
    if (!table.settings.empty() && name <= table.settings.rbegin()->first) {
      return fail(ErrorCode::corrupt, "settings are not ascending");
    }
    table.settings.emplace_hint(table.settings.end(), std::move(name), std::move(value));
  }
  return {};
}

}  // namespace

std::string encode(const MembersTable& table) {
  Writer writer;
  writer.u8(is_plain(table) ? plain_format : keyed_format);
  writer.u64(table.version);
  writer.u32(static_cast<std::uint32_t>(table.members.size()));
  for (const Member& member : table.members) write(writer, member);
  writer.u32(static_cast<std::uint32_t>(table.settings.size()));
  for (const auto& [name, value] : table.settings) {
    writer.string(name);
    writer.string(value);
  }
  if (!is_plain(table)) write_trust(writer, table);
  return writer.take();
}

Result<MembersTable> decode_members_table(std::string_view bytes) {
  Reader reader(bytes);
  const std::uint8_t format = reader.u8();
  if (format != plain_format && format != keyed_format) return fail(ErrorCode::corrupt, "format of the members table");
  MembersTable table;
  table.version = reader.u64();
  Status read = read_members(reader, table);
  if (read) read = read_settings(reader, table);
  if (read && format == keyed_format) read = read_clients(reader, table);
  if (read && format == keyed_format) read = read_authorities(reader, table);
  if (!read) return tl::unexpected<Error>(read.error());
  const bool fits = reader.done() && is_plain(table) == (format == plain_format);
  if (!fits) return fail(ErrorCode::corrupt, "the members table has a wrong length");
  return table;
}

InitialRow member_row(const Member& member) {
  return {RowAddress{std::string(members_key), std::string(member_prefix).append(member.id.raw())}, encode(member)};
}

InitialRow setting_row(const std::string& name, const std::string& value) {
  return {RowAddress{std::string(members_key), std::string(setting_prefix).append(name)}, value};
}

namespace {

InitialRow client_row(const Client& client) {
  Writer writer;
  write(writer, client);
  return {RowAddress{std::string(members_key), std::string(client_prefix).append(client.name)}, writer.take()};
}

}  // namespace

std::vector<InitialRow> rows_of(const MembersTable& table) {
  std::vector<InitialRow> rows;
  rows.reserve(table.members.size() + table.settings.size() + table.clients.size() + table.authorities.size() + 1);
  for (const auto& [name, certificate] : table.authorities)
    rows.push_back({RowAddress{std::string(members_key), std::string(authority_prefix).append(name)}, certificate});
  for (const Client& client : table.clients) rows.push_back(client_row(client));
  for (const Member& member : table.members) rows.push_back(member_row(member));
  for (const auto& [name, value] : table.settings) rows.push_back(setting_row(name, value));
  Writer version;
  version.u64(table.version);
  rows.push_back({RowAddress{std::string(members_key), std::string(version_sort)}, version.take()});
  return rows;
}

namespace {

Status add_client(MembersTable& table, std::string_view name, std::string_view value) {
  Reader reader(value);
  Result<Client> client = read_client(reader, name);
  if (!client) return tl::unexpected<Error>(client.error());
  if (!reader.done()) return fail(ErrorCode::corrupt, "bytes behind a client");
  if (table.clients.size() >= max_clients) return fail(ErrorCode::corrupt, "too many clients");
  table.clients.push_back(std::move(*client));
  return {};
}

Status add_authority(MembersTable& table, std::string_view name, const Row& row) {
  if (!authority_in_limits(name, row.value.view())) return fail(ErrorCode::corrupt, "an authority is out of limits");
  if (table.authorities.size() >= max_authorities) return fail(ErrorCode::corrupt, "too many authorities");
  table.authorities.emplace(name, row.value.str());
  return {};
}

Status add_row(MembersTable& table, const Row& row, bool& has_version) {
  std::string_view sort = row.sort;
  if (sort.starts_with(member_prefix)) {
    Result<Member> member = decode_member(row.value.view());
    if (!member) return tl::unexpected<Error>(member.error());
    if (sort.substr(member_prefix.size()) != member->id.raw()) {
      return fail(ErrorCode::corrupt, "a member's row lies under another uuid");
    }
    if (table.members.size() >= max_members) return fail(ErrorCode::corrupt, "too many members");
    table.members.push_back(std::move(*member));
  } else if (sort.starts_with(setting_prefix)) {
    std::string_view name = sort.substr(setting_prefix.size());
    if (!setting_in_limits(name, row.value.view())) return fail(ErrorCode::corrupt, "a setting is out of limits");
    if (table.settings.size() >= max_settings) return fail(ErrorCode::corrupt, "too many settings");
    table.settings.emplace(name, row.value.str());
  } else if (sort.starts_with(client_prefix)) {
    return add_client(table, sort.substr(client_prefix.size()), row.value.view());
  } else if (sort.starts_with(authority_prefix)) {
    return add_authority(table, sort.substr(authority_prefix.size()), row);
  } else if (sort == version_sort) {
    Reader reader(row.value.view());
    table.version = reader.u64();
    if (!reader.done()) return fail(ErrorCode::corrupt, "version of the members table");
    has_version = true;
  } else {
    return fail(ErrorCode::corrupt, "an unknown row in the members table");
  }
  return {};
}

}  // namespace

Result<MembersTable> table_from_rows(const std::vector<Row>& rows) {
  MembersTable table;
  bool has_version = false;
  const std::string* previous = nullptr;
  for (const Row& row : rows) {
    if (previous != nullptr && row.sort <= *previous) return fail(ErrorCode::corrupt, "rows are not ascending");
    previous = &row.sort;
    Status added = add_row(table, row, has_version);
    if (!added) return tl::unexpected<Error>(added.error());
  }
  if (!has_version) return fail(ErrorCode::corrupt, "the members table has no version");
  return table;
}

}  // namespace ringfs::dht

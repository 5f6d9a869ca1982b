// REST tokens in a ring in memory: rows "rest|join ROLE EXPIRES" of ring/tokens, which rest_token() reads.
#pragma once

#include <sstream>
#include <string>

#include "dht/base/bytes.hpp"
#include "dht/net/trust/token.hpp"
#include "nodes/rest/bearer_tokens.hpp"
#include "tests/support/memory_object_store.hpp"
#include "tests/support/mutations.hpp"

namespace ringfs::nodes {

inline Result<RestToken> rest_token(std::string_view row) {
  std::istringstream words{std::string(row)};
  std::string kind, role;
  RestToken token;
  if (!(words >> kind >> role >> token.expires.microseconds)) return fail(ErrorCode::corrupt, "not three words");
  Result<AccessRole> parsed = parse_access_role(role);
  if (!parsed) return tl::unexpected(parsed.error());
  token.rest = kind == "rest";
  token.role = *parsed;
  return token;
}

inline std::string hash_of(const dht::Token& token) {
  const KeyHash hash = token.secret_hash();
  return to_hex({reinterpret_cast<const char*>(hash.data()), hash.size()});
}

// Puts the row, or with an empty one removes it; returns the token.
inline dht::Token keep_token(VirtualTime& time, ObjectStore& store, const dht::Token& token, const std::string& row) {
  CommitRequest commit;
  commit.mutations.push_back(put("ring/tokens", hash_of(token), row));
  if (row.empty()) commit.mutations.back().kind = Mutation::Kind::erase;
  Result<CommitReply> reply = time.run(store.commit(std::move(commit), store.clock().now + std::chrono::seconds(10)));
  if (!reply || !reply->applied) throw std::runtime_error("the token is not kept");
  return token;
}

inline dht::Token new_token(VirtualTime& time, ObjectStore& store, const std::string& row) {
  return keep_token(time, store, dht::make_token({}).value(), row);
}

inline const std::string in_2100 = "4102444800000000";

}  // namespace ringfs::nodes

// A second copy of what a node needs and nobody else has: its identity, its incarnation, its ring.
//
// Why: the table `meta` is one or two pages of the database. If they are damaged, the node would be lost although its
// ring has everything else. The copy is a small file with a checksum. It is written as a whole (whole_file.hpp) before
// `meta` changes, so it is never older. Threads: one at a time. Errors: StoreFailure: no_space, io_error.
#pragma once

#include <filesystem>
#include <optional>

#include "dht/core/protocol/genesis.hpp"
#include "dht/core/protocol/messages.hpp"

namespace ringfs::nodes {

inline constexpr const char* identity_file_name = "ringfs.identity";

struct StoredIdentity {
  Uuid id;
  dht::Incarnation incarnation;
  std::string genesis;  // encoded, as in `meta`; empty: none yet
  std::string table;    // the newest members table; empty: none yet
  bool operator==(const StoredIdentity&) const = default;
};

// None: there is no such file, or it is damaged.
std::optional<StoredIdentity> read_identity(const std::filesystem::path& directory);
// Durable when it returns.
void write_identity(const std::filesystem::path& directory, const StoredIdentity& identity);

}  // namespace ringfs::nodes

// A second copy of what a node cannot do without and nobody else holds: who it is, how often it has run, which ring it
// belongs to.
//
// Why: the table `meta` is a page or two of the database. With them damaged a node would have to be given up although
// its ring holds all else. The copy is a small file of its own with its own sum, written anew under another name,
// synced and renamed, before `meta` changes: it is never older. Threads: one at a time. Errors: StoreFailure: no_space,
// io_error.
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
// Lasts when it returns.
void write_identity(const std::filesystem::path& directory, const StoredIdentity& identity);

}  // namespace ringfs::nodes

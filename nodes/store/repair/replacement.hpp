// Puts a verified copy in the place of a node's database (copy.hpp), so that a crash at any moment leaves the old one
// or the new one.
//
// The copy is made as `ringfs.db-copy`, synced, and renamed to `ringfs.db-complete`: from then on it is the database,
// whatever else lies there. Then the old one's WAL and mark go, then it takes the old one's name. A start that finds a
// complete copy goes on from there; one that is not complete is thrown away. `lock` is held meanwhile, nothing has the
// database open.
//
// Threads: before the store's. Errors: StoreFailure: no_space (needed: as much as the database and its WAL have),
// io_error; corrupt as copy_store().
#pragma once

#include <filesystem>
#include <functional>

#include "nodes/store/repair/copy.hpp"

namespace ringfs::nodes {

// Called between the steps, for tests that end the process there.
enum class ReplacementStep { copied, synced, complete, wal_gone, replaced };
using ReplacementHook = std::function<void(ReplacementStep)>;

// What a crash left: the first thing to be done in a directory.
void finish_replacement(const std::filesystem::path& directory, const ReplacementHook& hook = {});

StoreCopyReport replace_database(const std::filesystem::path& directory, unsigned page_bytes,
                                 const StoreCopyOptions& options, const ReplacementHook& hook = {});

}  // namespace ringfs::nodes

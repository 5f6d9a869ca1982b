// Replaces a node's database by a verified copy (copy.hpp). A crash at any time leaves the old database or the new one.
//
// The copy is made as `ringfs.db-copy`, synced, and renamed to `ringfs.db-complete`. From then on it is the database,
// whatever else is there. Then the WAL and the mark of the old database are removed, and the copy takes its name. A
// start goes on with a complete copy, and removes one that is not complete. The directory's lock is held meanwhile, and
// nobody has the database open.
//
// Threads: none; called before the store has any. Errors: StoreFailure: no_space (needed is the size of the database
// and its WAL), io_error; corrupt as in copy_store().
#pragma once

#include <filesystem>
#include <functional>

#include "nodes/store/repair/copy.hpp"

namespace ringfs::nodes {

// Called after each step, for tests that end the process there.
enum class ReplacementStep { copied, synced, complete, wal_gone, replaced };
using ReplacementHook = std::function<void(ReplacementStep)>;

// Finishes or removes what a crash left. Called first in a directory.
void finish_replacement(const std::filesystem::path& directory, const ReplacementHook& hook = {});

StoreCopyReport replace_database(const std::filesystem::path& directory, unsigned page_bytes,
                                 const StoreCopyOptions& options, const ReplacementHook& hook = {});

}  // namespace ringfs::nodes

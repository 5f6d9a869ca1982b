// A small file that exists as a whole or not at all. It is written under another name (FILE-new), synced and renamed,
// and the directory is synced. Threads: one at a time for a file. Errors: StoreFailure: no_space, io_error.
#pragma once

#include <filesystem>
#include <string_view>

namespace ringfs::nodes {

// Durable when it returns. Only its owner can read it.
void write_whole_file(const std::filesystem::path& file, std::string_view bytes);

}  // namespace ringfs::nodes

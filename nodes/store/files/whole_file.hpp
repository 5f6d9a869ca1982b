// A small file that is there whole or not at all: written under another name (FILE-new), synced, renamed, the directory
// synced. Threads: one at a time for a file. Errors: StoreFailure: no_space, io_error.
#pragma once

#include <filesystem>
#include <string_view>

namespace ringfs::nodes {

// Lasts when it returns. Its owner alone can read it.
void write_whole_file(const std::filesystem::path& file, std::string_view bytes);

}  // namespace ringfs::nodes

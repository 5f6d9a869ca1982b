// A whole file as it is, of /proc, too. For small ones: all of it is in memory.
//
// Threads: any. Errors: not_found (no such file); io_error: it cannot be opened or read to its end, with path and
// cause.
#pragma once

#include <filesystem>
#include <string>

#include "dht/base/error.hpp"

namespace ringfs {

Result<std::string> read_file(const std::filesystem::path& path);

}  // namespace ringfs

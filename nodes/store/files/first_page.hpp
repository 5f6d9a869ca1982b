// A second copy of the first page of the database: the schema, and the layout of all other pages. Without it no other
// page can be found, although all of them may be whole.
//
// The copy is the file `ringfs.db-first`. What changes with every transaction (size, free list, counters) is zero in
// it. SQLite then takes the size from the file or the WAL, which is enough for reading. A start writes the copy if it
// is missing or the schema has changed. It is removed before another database takes the place of this one. It is read
// only while damage is worked around.
//
// Threads: plain functions. Errors: StoreFailure: no_space, io_error. Limits: a schema of one page.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

namespace ringfs::nodes {

std::filesystem::path first_page_of(const std::filesystem::path& database);

// The page with its sum. None: there is no copy, or it is damaged.
std::optional<std::string> read_first_page(const std::filesystem::path& database);
// Whether the first page of the database itself has a sum that matches.
bool first_page_holds(const std::filesystem::path& database);
// Writes the copy of an open and undamaged database, durably; does nothing if its first page on the disk has no sum.
void keep_first_page(const std::filesystem::path& database);
// Removes the copy; durable with the next sync of the directory.
void forget_first_page(const std::filesystem::path& database);

}  // namespace ringfs::nodes

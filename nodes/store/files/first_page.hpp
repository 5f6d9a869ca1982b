// A second copy of the database's first page: the schema, and how all other pages are laid out. With it damaged no
// other page could be found, though all of them are whole.
//
// The copy is a file of its own, `ringfs.db-first`, in which what changes with every transaction (size, free list,
// counters) is zero: SQLite then asks the file, or the WAL, for the size, which is enough to read. A start writes it
// when it is missing or the schema has changed; it goes before another database takes the place of this one. Only what
// is read while damage is worked around comes from it. Threads: plain functions. Errors: StoreFailure: no_space,
// io_error. Limits: a schema of one page.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

namespace ringfs::nodes {

std::filesystem::path first_page_of(const std::filesystem::path& database);

// A page, its sum included. None: there is no copy, or it is damaged.
std::optional<std::string> read_first_page(const std::filesystem::path& database);
// Of the database itself: whether its first page has a sum that is right.
bool first_page_holds(const std::filesystem::path& database);
// Of a database that is open and whole; nothing when its first page on the disk has no sum. Lasts when it returns.
void keep_first_page(const std::filesystem::path& database);
// Lasts with the next sync of the directory.
void forget_first_page(const std::filesystem::path& database);

}  // namespace ringfs::nodes

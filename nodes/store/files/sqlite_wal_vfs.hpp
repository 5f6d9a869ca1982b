// SQLite's own file layer for one process: with sums on pages and frames that are verified whenever they are read, and
// with the frames of a transaction written to the WAL in one system call.
//
// Pages: a sum is put into a page when it is written to the database (by a checkpoint; by a commit before WAL mode) and
// verified when it is read from there, also when only a part of the page is asked for (page_sums.hpp). Not on its way
// to the WAL: SQLite has summed the frame by then. Frames: what is read from the WAL is verified against what was
// written, or found at start (database_files.hpp). Damage is SQLITE_IOERR_DATA, and take_damage_text() says where; it
// is `corrupt` in the store. The WAL's durable end is marked after each of its syncs (wal_frames.hpp); a WAL that ends
// before its mark is not opened. A database without reserved bytes (format 5) has no sums on its pages; its WAL is
// verified all the same.
//
// SQLite writes a WAL frame as two pieces (24 bytes, then the page), each with a pwrite of its own: some twenty calls
// for a small transaction. This layer over "unix-excl" collects pieces that follow each other and writes them when the
// transaction's last frame (the one that names the database's size) is there, or when anything else is asked of the
// file; the error of that write is the answer to the last piece, so that a transaction that could not be written never
// counts as committed. Nobody else can miss the collected bytes: other connections look at frames only below the end
// that is published after that. "unix-excl" keeps the WAL's index in memory and its locks in the process: no other
// process may open the database meanwhile (it is told that it is locked). Threads: as SQLite's. Source:
// sqlite.org/vfs.html, sqlite.org/walformat.html.
#pragma once

#include <string>

namespace ringfs::nodes {

// The name to open databases with. Registers the layer once.
const char* wal_vfs_name();

// Which page or frame the last SQLITE_IOERR_DATA on this thread was about; empty: none since the last call.
std::string take_damage_text();

// Test-only, for the process: off, nothing that is read is verified, to show that tests notice.
void verify_pages(bool on);

}  // namespace ringfs::nodes

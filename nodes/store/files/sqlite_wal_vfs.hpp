// The file layer (VFS) of this process below SQLite. It puts checksums on pages and verifies pages and frames whenever
// they are read, and it writes the frames of a transaction to the WAL in one system call.
//
// Pages: a page gets its sum when it is written to the database (by a checkpoint; by a commit before WAL mode). The sum
// is verified when the page, or a part of it, is read from there (page_sums.hpp). A page on its way to the WAL gets
// none, because SQLite has summed the frame by then. A database without reserved bytes (format 5) has no sums on its
// pages; its WAL is verified all the same.
//
// Frames: what is read from the WAL is compared with what was written, or with what was found at the start
// (database_files.hpp). Damage is SQLITE_IOERR_DATA, which is `corrupt` in the store; take_damage_text() says where.
// After each sync of the WAL its durable end is marked (wal_frames.hpp). A WAL that ends before its mark is not opened.
//
// Collected writes: SQLite writes a frame in two pieces (24 bytes, then the page), each with a pwrite(2): some twenty
// calls for a small transaction. This layer collects consecutive pieces. It writes them when the last frame of the
// transaction is complete (the one that has the size of the database), or when anything else is asked of the file. The
// result of that write is the result of the last piece, so a transaction that could not be written never counts as
// committed. Nobody misses the collected bytes: other connections read frames only below the end that is published
// afterwards.
//
// The layer below is "unix-excl", which keeps the index of the WAL and the locks in the process. No other process can
// open the database meanwhile ("database is locked"). Threads: those of SQLite. Source: sqlite.org/vfs.html,
// sqlite.org/walformat.html.
#pragma once

#include <string>

namespace ringfs::nodes {

// The name of the layer, for sqlite3_open_v2(). Registers the layer once.
const char* wal_vfs_name();

// Which page or frame the last SQLITE_IOERR_DATA on this thread was about; empty: there was none since the last call.
std::string take_damage_text();

// For tests only, and for the whole process. Off: nothing that is read is verified, which shows that the tests notice.
void verify_pages(bool on);

}  // namespace ringfs::nodes

// SQLite's own file layer for one process, with the frames of a transaction written to the WAL in one system call.
//
// SQLite writes a WAL frame as two pieces (24 bytes, then the page), each with a pwrite of its own: some twenty calls for a small
// transaction. This layer over "unix-excl" collects pieces that follow each other and writes them when the transaction's last
// frame (the one that names the database's size) is there, or when anything else is asked of the file; the error of that write is
// the answer to the last piece, so that a transaction that could not be written never counts as committed. Nobody else can miss the
// collected bytes: other connections look at frames only below the end that is published after that.
// "unix-excl" keeps the WAL's index in memory and its locks in the process: no other process may open the database meanwhile (it
// is told that it is locked). Threads: as SQLite's. Source: sqlite.org/vfs.html, sqlite.org/walformat.html.
#pragma once

namespace ringfs {

// The name to open databases with. Registers the layer once.
const char* wal_vfs_name();

}  // namespace ringfs

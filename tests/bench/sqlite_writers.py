#!/usr/bin/env python3
"""The throughput of bare SQLite writers on a disk: 64 KiB blocks, 16 of them a transaction, WAL, synchronous = FULL.

sqlite_writers.py DIRECTORY [MIB EACH [WRITERS]]: three are the reference for a sequential write to three replicas that share a disk, one
for a node that is filled.
"""
import multiprocessing, os, shutil, sqlite3, sys, tempfile, time

BLOCK, BLOCKS_A_TRANSACTION = 64 << 10, 16


def write(directory, number, mebibytes, barrier, seconds):
    database = sqlite3.connect(os.path.join(directory, f"{number}.db"), isolation_level=None)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = FULL")
    database.execute("CREATE TABLE block(id INTEGER PRIMARY KEY, bytes BLOB NOT NULL)")
    block = os.urandom(BLOCK)
    barrier.wait()
    begin = time.monotonic()
    for _ in range(mebibytes):
        database.execute("BEGIN")
        for _ in range(BLOCKS_A_TRANSACTION):
            database.execute("INSERT INTO block(bytes) VALUES(?)", (block,))
        database.execute("COMMIT")
    seconds[number] = time.monotonic() - begin


def main():
    directory = tempfile.mkdtemp(prefix="ringfs-sqlite-", dir=sys.argv[1])
    mebibytes = int(sys.argv[2]) if len(sys.argv) > 2 else 256
    count = int(sys.argv[3]) if len(sys.argv) > 3 else 3
    try:
        barrier = multiprocessing.Barrier(count)
        seconds = multiprocessing.Array("d", count)
        writers = [multiprocessing.Process(target=write, args=(directory, i, mebibytes, barrier, seconds)) for i in range(count)]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        if any(writer.exitcode != 0 for writer in writers):
            sys.exit("a writer failed")
        each = mebibytes * (1 << 20) / 1e6 / max(seconds)
        print(f"{count} SQLite writers: {each:.1f} MB/s each, {count * each:.1f} MB/s together")
    finally:
        shutil.rmtree(directory)


main()

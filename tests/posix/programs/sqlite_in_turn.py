#!/usr/bin/env python3
"""SQLite from two mounts that take turns: sqlite_in_turn.py DIRECTORY SAME_DIRECTORY_ELSEWHERE INSERTS.

Locks do not reach other mounts (docs/posix.md), so a lock of this machine stands for them. Each insert opens the database anew; two
in a row may come from either mount. No error may occur, and every row must exist.
"""
import multiprocessing
import sqlite3
import sys

inserts = int(sys.argv[3])
turn = multiprocessing.Lock()


def insert(path, who, errors):
    for number in range(inserts):
        with turn:
            database = sqlite3.connect(f"{path}/database", timeout=30)
            try:
                with database:
                    database.execute("insert into rows values (?, ?)", (who, number))
            except sqlite3.Error as error:
                errors.put(f"{who} {number}: {error}")
            finally:
                database.close()


def query(path, sql):
    database = sqlite3.connect(f"{path}/database")
    try:
        return database.execute(sql).fetchone()[0]
    finally:
        database.close()


errors = multiprocessing.Queue()
setup = sqlite3.connect(f"{sys.argv[1]}/database")
setup.execute("create table rows (who, number)")
setup.commit()
setup.close()
processes = [multiprocessing.Process(target=insert, args=(path, path, errors)) for path in sys.argv[1:3]]
for process in processes:
    process.start()
for process in processes:
    process.join()
assert errors.empty(), errors.get()
for path in sys.argv[1:3]:
    assert query(path, "select count(*) from rows") == 2 * inserts, path
    assert query(path, "pragma integrity_check") == "ok", path
print(f"{2 * inserts} inserts in turn")

#!/usr/bin/env python3
"""Flips bits in a node's files, at places that a seed decides.
   damage.py DIRECTORY COUNT SEED rows       of a node that is stopped: in values of rows, heads of log entries, the configurations of groups, payloads
   damage.py DIRECTORY COUNT SEED payloads   also of one that runs: in used bytes of the file of payloads
   damage.py DIRECTORY COUNT SEED files      of one that is stopped: anywhere in its files except the reserve
   damage.py DIRECTORY COUNT SEED lost DATABASE   of one that is stopped: restores pages of rows from this earlier copy of its database
Prints the places; fails when there is nothing to damage."""
import os
import random
import sqlite3
import sys

BLOCK = 4096


def flip_in_file(file, offset, bit):
    descriptor = os.open(file, os.O_RDWR)
    byte = os.pread(descriptor, 1, offset)[0]
    os.pwrite(descriptor, bytes([byte ^ (1 << bit)]), offset)
    os.close(descriptor)
    print("%s byte %d bit %d" % (file, offset, bit))


# A byte of a block that is not all zeros, as free blocks of a young file are.
def flip_payload(file, chance):
    size = os.path.getsize(file)
    for _ in range(1000):
        offset = chance.randrange(size)
        with open(file, "rb") as payloads:
            payloads.seek(offset // BLOCK * BLOCK)
            if payloads.read(BLOCK).strip(b"\0"):
                flip_in_file(file, offset, chance.randrange(8))
                return
    sys.exit("no payloads in " + file)


# A bit of a value in the database file. It is flipped in the file, because SQLite would write pages with wrong sums, the first page
# among them. Values that are not in one piece (overflow pages) are skipped.
def flip_value(file, value, chance):
    with open(file, "rb") as database:
        place = database.read().rfind(value)
    if place < BLOCK:
        return False
    flip_in_file(file, place + chance.randrange(len(value)), chance.randrange(8))
    return True


def flip_blob(file, database, table, column, chance):
    count = database.execute("SELECT count(*) FROM %s WHERE length(%s) > 3" % (table, column)).fetchone()[0]
    if count == 0:
        sys.exit("nothing in %s.%s" % (table, column))
    key = {"rows": "space, key, sort", "log": "id", "grp": "p"}[table]
    for _ in range(100):
        row = database.execute("SELECT %s, %s FROM %s WHERE length(%s) > 3 ORDER BY %s LIMIT 1 OFFSET ?" % (column, key, table, column, key),
                               (chance.randrange(count),)).fetchone()
        if flip_value(file, row[0], chance):
            print("%s.%s of %r" % (table, column, row[1:]))
            return
    sys.exit("no value of %s.%s was found in the file" % (table, column))


def leaves(database):
    connection = sqlite3.connect("file:%s?immutable=1" % database, uri=True)
    pages = {row[0] for row in connection.execute("SELECT pageno FROM dbstat WHERE name = 'rows' AND pagetype = 'leaf'")}
    connection.close()
    return pages


# Whole pages with valid sums: writes that the disk acknowledged and lost.
def lose_writes(file, earlier, count, chance):
    both = sorted(leaves(file) & leaves(earlier))
    with open(earlier, "rb") as old, open(file, "r+b") as new:
        changed = []
        for page in both:
            old.seek((page - 1) * BLOCK)
            new.seek((page - 1) * BLOCK)
            if old.read(BLOCK) != new.read(BLOCK):
                changed.append(page)
        if len(changed) < count:
            sys.exit("%d pages of rows were changed" % len(changed))
        for page in chance.sample(changed, count):
            old.seek((page - 1) * BLOCK)
            new.seek((page - 1) * BLOCK)
            new.write(old.read(BLOCK))
            print("%s page %d" % (file, page))


def main():
    directory, count, seed, kind = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    chance = random.Random(seed)
    payloads = os.path.join(directory, "ringfs.payloads")
    if kind == "payloads":
        for _ in range(count):
            flip_payload(payloads, chance)
    elif kind == "rows":
        file = os.path.join(directory, "ringfs.db")
        for _ in range(count):
            # Opened anew each time and read-only: the stopped node left no write-ahead log.
            database = sqlite3.connect("file:%s?immutable=1" % file, uri=True)
            what = chance.randrange(4)
            if what == 0:
                flip_blob(file, database, "rows", "value", chance)
            elif what == 1:
                flip_blob(file, database, "log", "head", chance)
            elif what == 2:
                flip_blob(file, database, "grp", "configuration", chance)
            else:
                flip_payload(payloads, chance)
            database.close()
    elif kind == "lost":
        lose_writes(os.path.join(directory, "ringfs.db"), sys.argv[5], count, chance)
    else:
        names = [os.path.join(directory, name) for name in
                 ("ringfs.db", "ringfs.db-wal", "ringfs.db-mark", "ringfs.db-first", "ringfs.payloads", "ringfs.identity")]
        sizes = [(name, os.path.getsize(name)) for name in names if os.path.exists(name) and os.path.getsize(name) > 0]
        for _ in range(count):
            place = chance.randrange(sum(size for _, size in sizes))
            for name, size in sizes:
                if place < size:
                    flip_in_file(name, place, chance.randrange(8))
                    break
                place -= size


if __name__ == "__main__":
    main()

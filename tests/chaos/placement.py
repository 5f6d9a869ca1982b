#!/usr/bin/env python3
"""Checks which nodes hold which partitions, from the databases of stopped nodes.
   placement.py COPIES DATABASE...
Fails unless every partition lies on exactly COPIES nodes, other nodes keep no rows of it, replicas with equal applied indexes hold equal
rows, and every payload is at the place of its id (docs/disk-format.md) with the bytes of its checksum."""
import collections
import ctypes
import hashlib
import os
import sqlite3
import sys

IN_FILE = 1 << 62  # ids from here on: 2^62 + first block * 2^12 + blocks
BLOCK = 4096
xxhash = ctypes.CDLL("libxxhash.so.0")
xxhash.XXH3_64bits.restype = ctypes.c_uint64
xxhash.XXH3_64bits.argtypes = [ctypes.c_char_p, ctypes.c_size_t]


def check_payloads(file, database):
    """Problems, and how many payloads there are."""
    problems, end, count = [], 0, 0
    with open(os.path.join(os.path.dirname(file), "ringfs.payloads"), "rb") as payloads:
        for identity, size, checksum in database.execute("SELECT id, size, checksum FROM payload ORDER BY id"):
            count += 1
            if identity >= IN_FILE:
                first, blocks = (identity - IN_FILE) >> 12, (identity - IN_FILE) & 0xFFF
                if first < end or size > blocks * BLOCK:
                    problems.append("%s: payload %d lies in another one" % (file, identity))
                end = first + blocks
                payloads.seek(first * BLOCK)
                contents = payloads.read(size)
            else:
                (contents,) = database.execute("SELECT bytes FROM payload_data WHERE id = ?", (identity,)).fetchone() or (b"",)
            if len(contents) != size or xxhash.XXH3_64bits(contents, size) != checksum % (1 << 64):
                problems.append("%s: payload %d is damaged" % (file, identity))
    return problems, count


def digest_of(database, space):
    """A hash of all rows of a space, independent of the places of their payloads."""
    digest = hashlib.sha256()
    for row in database.execute("""
            SELECT key, sort, version, value, payload.size, payload.checksum FROM rows LEFT JOIN payload ON payload.id = rows.payload
            WHERE space = ? ORDER BY key, sort""", (space,)):
        digest.update(repr(row).encode())
    return digest.hexdigest()


def main():
    copies, files = int(sys.argv[1]), sys.argv[2:]
    holders = collections.defaultdict(list)
    digests = collections.defaultdict(set)  # of a partition at an applied index
    problems = []
    for file in files:
        database = sqlite3.connect("file:%s?mode=ro" % file, uri=True)
        spaces = set()
        for partition, space, holds, applied in database.execute("SELECT p, space, holds_data, applied FROM grp").fetchall():
            if holds:
                holders[partition].append(file)
                spaces.add(space)
                digests[partition, applied].add(digest_of(database, space))
        waste = set(space for (space,) in database.execute("SELECT space FROM garbage"))
        kept = set(space for (space,) in database.execute("SELECT DISTINCT space FROM rows"))
        for space in sorted(kept - spaces - waste):
            problems.append("%s: rows of a replica that it does not have (space %d)" % (file, space))
        logs = set(p for (p,) in database.execute("SELECT DISTINCT p FROM log"))
        held = set(partition for partition in holders if file in holders[partition])
        for partition in sorted(logs - held):
            problems.append("%s: a log of partition %d, of which it has no replica" % (file, partition))
        damaged, payloads = check_payloads(file, database)
        problems += damaged
        (bytes_left,) = database.execute("SELECT coalesce(sum(length(value)), 0) FROM rows").fetchone()
        print("%s: %d partitions, %d bytes in rows, %d payloads, %d spaces to be emptied" % (file, len(spaces), bytes_left, payloads, len(waste)))
    problems += ["replicas of partition %d differ at index %d" % place for place, seen in sorted(digests.items()) if len(seen) > 1]
    for partition, nodes in sorted(holders.items()):
        if len(nodes) != copies:
            problems.append("partition %d lies on %d nodes: %s" % (partition, len(nodes), " ".join(nodes)))
    if len(holders) != 256:
        problems.append("%d partitions of 256" % len(holders))
    for problem in problems[:30]:
        print(problem)
    print("%d partitions, %d states of them, %d problems" % (len(holders), len(digests), len(problems)))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())

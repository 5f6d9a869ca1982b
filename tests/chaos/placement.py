#!/usr/bin/env python3
"""Which node holds which partition, read from the databases of nodes that are stopped.
   placement.py COPIES DATABASE...
Fails unless every partition lies on exactly COPIES nodes, and nodes that hold no part of a partition keep no rows of it."""
import collections
import sqlite3
import sys


def main():
    copies, files = int(sys.argv[1]), sys.argv[2:]
    holders = collections.defaultdict(list)
    problems = []
    for file in files:
        database = sqlite3.connect("file:%s?mode=ro" % file, uri=True)
        spaces = set()
        for partition, space, holds in database.execute("SELECT p, space, holds_data FROM grp"):
            if holds:
                holders[partition].append(file)
                spaces.add(space)
        waste = set(space for (space,) in database.execute("SELECT space FROM garbage"))
        kept = set(space for (space,) in database.execute("SELECT DISTINCT space FROM rows"))
        for space in sorted(kept - spaces - waste):
            problems.append("%s: rows of a replica that it does not have (space %d)" % (file, space))
        logs = set(p for (p,) in database.execute("SELECT DISTINCT p FROM log"))
        held = set(partition for partition in holders if file in holders[partition])
        for partition in sorted(logs - held):
            problems.append("%s: a log of partition %d, of which it has no replica" % (file, partition))
        (bytes_left,) = database.execute("SELECT coalesce(sum(length(value)), 0) FROM rows").fetchone()
        print("%s: %d partitions, %d bytes in rows, %d spaces to be emptied" % (file, len(spaces), bytes_left, len(waste)))
    for partition, nodes in sorted(holders.items()):
        if len(nodes) != copies:
            problems.append("partition %d lies on %d nodes: %s" % (partition, len(nodes), " ".join(nodes)))
    if len(holders) != 256:
        problems.append("%d partitions of 256" % len(holders))
    for problem in problems[:30]:
        print(problem)
    print("%d partitions, %d problems" % (len(holders), len(problems)))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())

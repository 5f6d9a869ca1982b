#!/bin/bash
# 10,000 files in one directory: created, listed, stat-ed, removed.
source "$(dirname "$0")/lib.sh"
start_ring 3
mkdir "$mnt/many"
say "create"
python3 - "$mnt/many" <<'END'
import sys
from concurrent.futures import ThreadPoolExecutor
directory = sys.argv[1]

def make(number):
    with open(f"{directory}/file-{number:05}", "w") as file:
        file.write(str(number))

with ThreadPoolExecutor(8) as pool:
    list(pool.map(make, range(10_000)))
END
say "list"
# shellcheck disable=SC2010 # ls is what is tried
[ "$(ls -f "$mnt/many" | grep -c '^file-')" = 10000 ] || die "ls sees $(ls -f "$mnt/many" | wc -l)"
# shellcheck disable=SC2010
[ "$(ls -l "$mnt/many" | grep -c 'file-')" = 10000 ] || die "ls -l"
[ "$(cat "$mnt/many/file-07777")" = 7777 ] || die "contents"
[ "$(find "$mnt/many" -type f -size -2 | wc -l)" = 10000 ] || die "find"
say "remove"
rm -r "$mnt/many"
[ ! -e "$mnt/many" ] || die "still there"

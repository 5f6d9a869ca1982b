#!/bin/bash
# Positions in directories (telldir, seekdir) are right in any stream, on any mount, after any change, for ever.
source "$(dirname "$0")/lib.sh"
start_ring 3
other=$scratch/other
second_mount "$other"
positions() { python3 "$(dirname "$0")/programs/directory_positions.py" "$mnt" "$other" "$1" "$scratch/positions" || die "$1"; }
say "as the directories are made"
positions make
say "after a restart of everything, and under change"
"$ringfs" umount "$other"
"$ringfs" down --state "$state" >/dev/null
restart_ring
second_mount "$other"
positions check

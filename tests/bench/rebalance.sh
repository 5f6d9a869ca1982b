#!/bin/bash
# A fourth node joins a ring of three that holds gigabytes: the time of the move, and its effect on clients.
#   rebalance.sh BUILD [--gigabytes 2]
# Prints the moved bytes and their rate, the disk's sequential rate, and the durations of one thread's operations before and during
# the move. As root; the ring lies below TMPDIR (/var/tmp), which must be on a disk. It fails when an operation fails, a byte is wrong,
# or a partition does not lie on exactly three nodes; never because of a duration. RINGFS_RESULTS names a directory that keeps the times
# of every operation.
gigabytes=2
build_directory=${1:?"rebalance.sh BUILD [--gigabytes N]"}
shift
while [ $# -gt 0 ]; do
  case "$1" in
    --gigabytes) gigabytes=$2 ;;
    *) echo "rebalance.sh: what is $1?" >&2; exit 2 ;;
  esac
  shift 2
done
export TMPDIR=${TMPDIR:-/var/tmp}
set -- "$build_directory"
source "$(dirname "$0")/../posix/lib.sh"
rebalance=$here/../bench/rebalance.py
results=$scratch/results
mkdir "$results"
still_seconds=15        # for checkpoints of what was written before
undisturbed_seconds=30
move_seconds=3600       # a limit, not an aim
[ "$(stat -f -c %T "$scratch")" != tmpfs ] || die "$TMPDIR is no disk"

machine() { say "$(nproc) processors, load average $(cut -d' ' -f1 /proc/loadavg)"; }

start_ring 3
wait_healthy
machine
mkdir "$mnt/data"
python3 "$rebalance" fill "$mnt/data" "$results/fill.json" --gigabytes "$gigabytes"
settled 120
sync
python3 "$rebalance" probe "$scratch" "$results/probe.json"
sleep "$still_seconds"

say "undisturbed operations"
machine
python3 "$rebalance" operations "$mnt" "$results/fill.json" "$results/undisturbed.json" --seconds "$undisturbed_seconds" || die "an operation failed"
python3 "$rebalance" check "$mnt" "$results/undisturbed.json" || die "bytes are wrong"

say "a fourth node"
python3 "$rebalance" operations "$mnt" "$results/fill.json" "$results/moving.json" --until "$scratch/moved" >"$scratch/operations.log" 2>&1 &
operations=$!
extra_pids+=("$operations")
for _ in $(seq 100); do
  grep -q begun "$scratch/operations.log" && break
  sleep 0.1
done
timeout "$move_seconds" python3 "$rebalance" move "$mnt" "$state" "$results/move.json" "$ringfs" add --local --state "$state" ||
  { cat "$mnt/.ring/status"; die "the node was not added"; }
touch "$scratch/moved"
machine
wait "$operations" || { cat "$scratch/operations.log"; die "an operation failed"; }
cat "$scratch/operations.log"
python3 "$rebalance" check "$mnt" "$results/moving.json" || die "bytes are wrong"
python3 "$rebalance" verify "$mnt/data" "$results/fill.json" || die "bytes are wrong"

say "where everything lies"
"$ringfs" down --state "$state" >/dev/null
python3 "$here/../chaos/placement.py" 3 "$state"/nodes/*/data/ringfs.db || die "replicas are not where they belong"
echo
python3 "$rebalance" report "$state" "$results"
[ -z "${RINGFS_RESULTS:-}" ] || cp "$results"/*.json "$RINGFS_RESULTS"

#!/bin/bash
# Checks that nothing grows without bound, and measures what an idle ring costs: docs/bounds.md.
#   bounds.sh BUILD [--minutes 60] [--files 200000] [--only idle|flat|churn]
# idle    a ring of 10 nodes with its mount: processor time and memory while nothing happens for two minutes
# flat    files in one directory: microseconds a file from the first thousand to the last
# churn   a bounded working set that is changed all the time: memory, descriptors, threads and databases over time
# As root; the rings lie below TMPDIR (/var/tmp), which must be on a disk. It fails when an operation failed, a byte was wrong, or
# something still grows in the last third of the churn; never for a time.
minutes=60
files=200000
only=""
build_directory=${1:?"bounds.sh BUILD [--minutes N] [--files N] [--only idle|flat|churn]"}
shift
while [ $# -gt 0 ]; do
  case "$1" in
    --minutes) minutes=$2 ;;
    --files) files=$2 ;;
    --only) only=$2 ;;
    *) echo "bounds.sh: what is $1?" >&2; exit 2 ;;
  esac
  shift 2
done
case "$only" in "" | idle | flat | churn) ;; *) echo "bounds.sh: there is no $only" >&2; exit 2 ;; esac
# Each with a ring and a scratch directory of its own.
if [ -z "$only" ]; then
  status=0
  for one in idle flat churn; do
    echo "==== $one"
    "$0" "$build_directory" --minutes "$minutes" --files "$files" --only "$one" || status=1
  done
  exit $status
fi
export TMPDIR=${TMPDIR:-/var/tmp}
set -- "$build_directory"
source "$(dirname "$0")/../posix/lib.sh"
churn=$here/../bench/churn.py
settle_seconds=30  # after the start, before it is called idle
idle_seconds=120
sample_seconds=20
removed_seconds=60
[ "$(stat -f -c %T "$scratch")" != tmpfs ] || die "$TMPDIR is no disk"
[ "$minutes" -ge 3 ] || sample_seconds=3

machine() { say "$(nproc) processors, load average $(cut -d' ' -f1 /proc/loadavg)"; }

run_idle() {
  start_ring 10
  wait_healthy
  sleep "$settle_seconds"
  machine
  python3 "$churn" idle "$state" --seconds "$idle_seconds"
}

run_flat() {
  start_ring 3
  wait_healthy
  machine
  python3 "$churn" flat "$mnt/flat" "$state" --files "$files"
  machine
}

run_churn() {
  local loader sampler status=0
  start_ring 3
  wait_healthy
  machine
  nice -n 19 python3 "$churn" churn "$mnt" "$scratch/operations" --seconds $((minutes * 60)) >"$scratch/load.log" 2>&1 &
  loader=$!
  extra_pids+=("$loader")
  say "the load: process $loader"
  python3 "$churn" sample "$scratch/samples" "$state" "$scratch/operations" "$loader" --every "$sample_seconds" &
  sampler=$!
  extra_pids+=("$sampler")
  wait "$loader" || status=$?
  wait "$sampler"
  cat "$scratch/load.log"
  [ -z "${RINGFS_SAMPLES:-}" ] || cp "$scratch/samples" "$RINGFS_SAMPLES"
  [ $status -eq 0 ] || die "an operation failed, or bytes were wrong"
  machine
  sleep "$removed_seconds"
  say "$removed_seconds s after everything was removed"
  python3 "$churn" now "$state"
  python3 "$churn" report "$scratch/samples" || die "no plateau"
}

"run_$only"

#!/bin/bash
# The benchmarks run to their ends on a small ring; their durations do not matter.
source "$(dirname "$0")/lib.sh"
start_ring 3
"$build/tests/bench/mount_bench" "$mnt" --files 5 --large 2 --seconds 1 --threads 1 --threads 2 --json >"$scratch/figures.json"
for name in create stat open_read append rename unlink copy_205_files write_fsync read_cold random_read random_write_fsync32; do
  jq -e --arg name "$name" 'any(.[]; .name == $name and .operations > 0)' "$scratch/figures.json" >/dev/null || die "no figures of $name"
done
[ -z "$(ls -A "$mnt")" ] || die "mount_bench left something behind: $(ls -A "$mnt")"
"$build/tests/bench/ring_bench" "$(addresses)" --clients 1 --clients 3 --seconds 0.2 >"$scratch/ring.log" || die "ring_bench"
[ "$(wc -l <"$scratch/ring.log")" = 8 ] || die "ring_bench printed $(cat "$scratch/ring.log")"
expect_failure "$build/tests/bench/mount_bench" "$scratch/nothing" | grep -q "does not exist" || die "a directory that is not there"

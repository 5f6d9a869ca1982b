#!/bin/bash
# The logs of a ring's processes stay bounded, and the last output of a process is at the end of its log.
source "$(dirname "$0")/lib.sh"

limit=$((16 << 20))
# fill FILE: lines up to a few bytes below the limit.
fill() {
  yes "event=padding" | head -c $((limit - $(stat -c %s "$1") - 10)) >>"$1" || true
  [ "$(stat -c %s "$1")" = $((limit - 10)) ] || die "$1 has $(stat -c %s "$1") bytes"
}
# wait_for TEXT FILE: a line may come a moment after its event.
wait_for() {
  for _ in $(seq 100); do
    grep -qs -- "$1" "$2" && return  # the file is missing during the rotation
    sleep 0.1
  done
  die "no '$1' in $2"
}

start_ring 3
log=$state/nodes/1/node.log

say "full logs do not keep a ring from starting, and are put aside"
"$ringfs" down --state "$state" >/dev/null || die "ringfs down"
fill "$log"
fill "$state/mount.log"
restart_ring
wait_for "^ready node=" "$log"
wait_for event=mounted "$state/mount.log"
for full in "$log" "$state/mount.log"; do
  [ "$(stat -c %s "$full.1")" -ge $((limit - 10)) ] || die "$full.1 is not what was there"
  [ "$(stat -c %s "$full")" -lt 100000 ] || die "$full is still long"
done

say "a node that is running, too; its standard error goes along"
fill "$log"
kill -9 "$(node_pid 2)"
wait_for "event=peer_lost peer=$(id_of 2)" "$log"
[ "$(stat -c %s "$log")" -lt 100000 ] || die "$log is still long"
[ "$(readlink "/proc/$(node_pid 1)/fd/2")" = "$log" ] || die "standard error is $(readlink "/proc/$(node_pid 1)/fd/2")"
[ "$(find "$state" -name '*.log*' | wc -l)" = 6 ] || die "files: $(find "$state" -name '*.log*')"

say "a mount of one's own"
extra_mounts+=("$scratch/own")
mkdir "$scratch/own"
"$ringfs" mount "$(addresses)" "$scratch/own" --log-file "$scratch/own.log" || die "mount with a log"
wait_for event=mounted "$scratch/own.log"
expect_failure "$ringfs_node" --data "$scratch/n" --log-file "$scratch/missing/log" >/dev/null
grep -q "cannot open the log $scratch/missing/log" "$expected" || die "no word about the log"

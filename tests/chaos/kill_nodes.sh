#!/bin/bash
# Ten nodes. A tree of at least 5,000 files and 100 MB is copied in and compared. Then it is copied again while nodes are killed
# with -9: the primary of the root directory's partition, that of the members table's, one more, each restarted and caught up
# before the next. No error from cp, diff clean. Then all processes are killed at once; after `ringfs up` everything is there.
source "$(dirname "$0")/../posix/lib.sh"
tree=${RINGFS_TREE:-}
if [ -z "$tree" ]; then
  # The headers that the build needs are there on every machine; the rest makes up the weight.
  tree=$scratch/tree
  mkdir "$tree"
  cp -rL /usr/include/boost/{asio,beast,spirit,mpl,fusion,geometry} "$tree"
  head -c 60M /dev/urandom >"$tree/large"
fi
files=$(find "$tree" -type f | wc -l)
megabytes=$(du -sm "$tree" | cut -f1)
say "$files files, $megabytes MB"
[ "$files" -ge 5000 ] && [ "$megabytes" -ge 100 ] || die "the tree is too small"
start_ring 10
wait_healthy
cp -r "$tree" "$mnt/copy-0"
diff -r --no-dereference "$tree" "$mnt/copy-0" || die "the undisturbed copy differs"

# Copies the tree again and again into numbered directories until told to stop, so that cp surely runs while nodes die.
rm -f "$scratch/stop" "$scratch/cp.failed"
(
  round=0
  while [ ! -e "$scratch/stop" ]; do
    round=$((round + 1))
    cp -r "$tree" "$mnt/copy-$round" 2>>"$scratch/cp.log" || { touch "$scratch/cp.failed"; break; }
    echo $round >"$scratch/rounds"
  done
) &
copier=$!

kill_and_restart() {
  local number=$1 what=$2
  kill -0 $copier || die "cp is not running: $(cat "$scratch/cp.log")"
  say "kill -9 of node $number, $what"
  kill -9 "$(node_pid "$number")"
  sleep 3
  [ ! -e "$scratch/cp.failed" ] || die "cp failed: $(cat "$scratch/cp.log")"
  kill -0 $copier || die "cp ended"
  restart_ring
  wait_healthy
}
sleep 1
kill_and_restart "$(leader_of 0)" "primary of the root directory's partition"
kill_and_restart "$(leader_of "$(partition_of_key ring/members)")" "primary of the members table's partition"
kill_and_restart 7 "any"
touch "$scratch/stop"
wait $copier
[ ! -e "$scratch/cp.failed" ] || die "cp failed: $(cat "$scratch/cp.log")"
rounds=$(cat "$scratch/rounds")
say "$rounds copies, comparing"
for round in $(seq 0 "$rounds"); do
  diff -r --no-dereference "$tree" "$mnt/copy-$round" || die "copy $round differs"
done

say "kill -9 of everything at once"
pids=$(mount_pid)
for number in $(seq 10); do pids="$pids $(node_pid "$number")"; done
# shellcheck disable=SC2086 # a list of words
kill -9 $pids
restart_ring
for round in $(seq 0 "$rounds"); do
  diff -r --no-dereference "$tree" "$mnt/copy-$round" || die "copy $round differs after the restart"
done

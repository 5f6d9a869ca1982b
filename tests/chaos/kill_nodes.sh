#!/bin/bash
# Ten nodes. A tree of at least 5,000 files and 100 MB is copied in and compared. Then it is copied again while nodes are killed
# with -9: the primary of the root directory's partition, that of the members table's, one more, each restarted and caught up
# before the next. No error from cp, diff clean. Then all processes are killed at once; after `ringfs up` everything is there.
source "$(dirname "$0")/../posix/lib.sh"
tree=${RINGFS_TREE:-}
if [ -z "$tree" ]; then
  # Every machine has the headers that the build needs; large files make up the rest of the bytes.
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

# Copies the tree again and again into numbered directories until told to stop, so that cp certainly runs while nodes die.
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
extra_pids+=("$copier")

copied() { find "$mnt" -path "$mnt/copy-[1-9]*" -type f | wc -l; }

# Waits until cp has at least half of a tree left; then it certainly runs when the node dies.
await_cp() {
  local round
  for _ in $(seq 600); do
    [ ! -e "$scratch/cp.failed" ] || die "cp failed: $(cat "$scratch/cp.log")"
    round=$(($(cat "$scratch/rounds" 2>/dev/null || echo 0) + 1))
    if cp_pid=$(pgrep -P "$copier" -x cp) && [ -d "$mnt/copy-$round" ] &&
      [ "$(find "$mnt/copy-$round" -type f | wc -l)" -lt $((files / 2)) ]; then
      return
    fi
    sleep 0.5
  done
  die "cp is not seen to be running"
}

# kill_and_restart PARTITION WHAT: its leader dies while cp runs, another node leads, cp goes on, the node comes back. PARTITION
# `other`: one whose leader has not died yet. Leadership returns to restarted nodes, so a partition led by its preferred primary is taken.
victims=()
kill_and_restart() {
  local partition=$1 what=$2 victim id target="" before now end
  await_cp
  if [ "$partition" = other ]; then
    read -r partition id < <("$ringfs" ring --state "$state" --output json | jq -er --args \
      'first(.[] | select(.leader and .leader == .replicas[0] and ([.leader] | inside($ARGS.positional) | not))
             | "\(.partition) \(.leader)")' "${victims[@]}") || die "no partition is led by a preferred primary that has not died"
    victim=$(number_of "$id")
  else
    victim=$(leader_of "$partition")
    id=$(id_of "$victim")
  fi
  say "kill -9 of node $victim, $what (partition $partition)"
  runs_program "$cp_pid" "$(realpath "$(command -v cp)")" || die "cp is not running: $(cat "$scratch/cp.log")"
  kill -9 "$(node_pid "$victim")"
  before=$(copied)
  victims+=("$id")
  for _ in $(seq 150); do
    target=$(leader_id "$partition") || true
    [ -n "$target" ] && [ "$target" != "$id" ] && break
    sleep 0.2
  done
  [ -n "$target" ] && [ "$target" != "$id" ] || die "partition $partition is led by '$target' 30 s after its leader $id died"
  target=$(number_of "$target")
  now=$before
  end=$((SECONDS + 30))
  while [ "$now" -le "$before" ] && [ $SECONDS -lt $end ]; do
    sleep 0.2
    now=$(copied)
  done
  [ "$now" -gt "$before" ] || die "cp made no progress in 30 s without node $victim"
  say "node $target leads, $((now - before)) more files without node $victim"
  [ ! -e "$scratch/cp.failed" ] || die "cp failed: $(cat "$scratch/cp.log")"
  restart_ring
  wait_healthy
}
kill_and_restart 0 "primary of the root directory's partition"
kill_and_restart "$(partition_of_key ring/members)" "primary of the members table's partition"
kill_and_restart other "primary of another one"
[ "${victims[2]}" != "${victims[0]}" ] && [ "${victims[2]}" != "${victims[1]}" ] || die "node ${victims[2]} died twice"
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

#!/bin/bash
# Two of three nodes are dead: .ring can be read and says so. Nothing else is answered, and everything works again afterwards.
# The limit of each command is far above what it takes: without the ring it would end with ETIMEDOUT before.
source "$(dirname "$0")/../posix/lib.sh"
start_ring 3
wait_healthy
mkdir "$mnt/dir"
echo before >"$mnt/dir/file"
chmod 0751 "$mnt"
second_mount "$scratch/other"
# The other mount must know of the last chmod before the ring goes away.
chmod 0755 "$mnt"
[ "$(stat -c %a "$scratch/other")" = 755 ] || die "a chmod of the root does not count on the other mount"
key=$(jq -r '.nodes[2].id' "$state/ring.json")

# reads FILE: prints it; never ETIMEDOUT.
reads() {
  local status=0 text
  text=$(timeout 120 cat "$mnt/.ring/$1" 2>&1) || status=$?
  [ $status -eq 0 ] || die "cat .ring/$1 ended with $status: $text"
  printf '%s\n' "$text"
}

say "two of three killed"
kill -9 "$(node_pid 1)" "$(node_pid 2)"
for mount in "$mnt" "$scratch/other"; do
  [ "$(timeout 120 stat -c '%a %F' "$mount")" = "755 directory" ] || die "the root of $mount has no attributes"
done
# The third node notices that it leads no partition any more.
for _ in $(seq 100); do
  reads status | grep -qx "leaderless 256" && break
  sleep 0.1
done
[ "$(reads health | head -n 1)" = readonly ] || die "health: $(reads health)"
reads status | tee "$scratch/status"
grep -qx "state readonly" "$scratch/status" || die "not readonly"
grep -qx "nodes 3" "$scratch/status" || die "not three nodes"
grep -qx "up 1" "$scratch/status" || die "more than one is up"
grep -qx "leaderless 256" "$scratch/status" || die "some partition has a leader"
grep -q "remark 2 nodes do not answer" "$scratch/status" || die "nobody says that two nodes do not answer"
for file in version id error_log members ring rebalance stats metrics config/replication config/op_timeout node/"$key"/address \
  node/"$key"/state lookup/kv%2Fhandshake; do
  [ -n "$(reads "$file")" ] || [ "$file" = error_log ] || die ".ring/$file is empty"
done
[ "$(reads members | wc -l)" -eq 3 ] || die "not three members: $(reads members)"
[ "$(reads config/replication)" = 3 ] || die "not three copies"
timeout 120 dd if="$mnt/.ring/events" iflag=nonblock status=none >"$scratch/events" || die "events"
timeout 120 ls "$mnt/.ring" >/dev/null || die "ls .ring"
[ "$(timeout 120 ls "$mnt/.ring/node" | wc -l)" -eq 3 ] || die "ls .ring/node"
timeout 120 df "$mnt" >/dev/null || die "df"

say "nothing else is answered"
status=0
output=$(timeout 120 cat "$mnt/dir/file" 2>&1) || status=$?
[ $status -eq 1 ] && [[ "$output" == *"timed out"* ]] || die "cat without a quorum ended with $status: $output"

say "all frozen: what needs a node fails, what needs none does not"
kill -STOP "$(node_pid 3)"
[ "$(timeout 120 stat -c '%a %F' "$mnt")" = "755 directory" ] || die "the root has no attributes"
reads version >/dev/null
reads stats >/dev/null
reads error_log | tail -n 1
kill -CONT "$(node_pid 3)"

say "the ring is back: a chmod counts again, everywhere and at once"
restart_ring
wait_healthy
[ "$(cat "$mnt/dir/file")" = before ] || die "lost"
# Each mount notices at its next check that the ring answers again.
for _ in $(seq 100); do
  cat "$scratch/other/dir/file" >/dev/null 2>&1 && break
  sleep 0.1
done
for mode in 711 755 750 755; do
  chmod "$mode" "$mnt"
  [ "$(stat -c %a "$scratch/other")" = $mode ] || die "the other mount shows $(stat -c %a "$scratch/other") instead of $mode"
done

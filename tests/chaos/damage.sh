#!/bin/bash
# Bits are flipped in one node's files, while it is stopped and while it runs: the ring mends itself. No operation of load.py fails, every
# byte is right, health says ok again without a hand, and in the end all replicas are sound and equal.
#   damage.sh BUILD [SEED]
source "$(dirname "$0")/../posix/lib.sh"
load=$here/../chaos/load.py
damage=$here/../chaos/damage.py
logs=$scratch/logs
mkdir "$logs"
seed=${2:-1}
say "seed $seed"
export RINGFS_TEST_SCRUB=without-pause

mkdir "$scratch/tree"
(cd /usr/include && find . -type f | sort | sed -n 1,400p | xargs cp --parents -t "$scratch/tree")
for i in 1 2; do head -c 5000000 /dev/urandom >"$scratch/tree/large$i"; done
start_ring 3
wait_healthy
cp -r "$scratch/tree" "$mnt/tree"
start_load

# repaired WHAT: until no replica is damaged and health is ok; something must have been found and replaced.
repaired() {
  wait_healthy
  local found=0 again=0
  found=$(grep -hc "event=data_damaged" "$state"/nodes/*/node.log | awk '{sum += $1} END {print sum}')
  again=$(grep -hc "event=replica_repaired" "$state"/nodes/*/node.log | awk '{sum += $1} END {print sum}')
  say "$1: $found replicas found damaged so far, $again replaced"
  [ "$found" -gt "${found_before:-0}" ] || die "$1: no damage was noticed"
  [ "$again" -gt "${again_before:-0}" ] || die "$1: nothing was replaced"
  found_before=$found
  again_before=$again
}

same() { echo 3 >/proc/sys/vm/drop_caches; diff -r "$scratch/tree" "$mnt/tree" || die "bytes are wrong"; }

say "a node is killed, 60 bits are flipped anywhere in its files, and it starts again"
victim=$(leader_of 0)
pid=$(node_pid "$victim")
kill -9 "$pid"
ended "$pid" 20
python3 "$damage" "$state/nodes/$victim/data" 60 "$((seed + 3))" files >"$scratch/flips" || die "$(cat "$scratch/flips")"
restart_ring
same
repaired "killed"
same

say "a node is stopped, 60 bits are flipped in what it holds, and it starts again"
victim=$(leader_of 0)
pid=$(node_pid "$victim")
kill -TERM "$pid"
ended "$pid" 20
python3 "$damage" "$state/nodes/$victim/data" 60 "$seed" rows >"$scratch/flips" || die "$(cat "$scratch/flips")"
restart_ring
same
repaired "stopped"
same

say "a node runs, and 20 bits are flipped in its payloads"
victim=$(leader_of 64)
python3 "$damage" "$state/nodes/$victim/data" 20 "$((seed + 1))" payloads >"$scratch/flips" || die "$(cat "$scratch/flips")"
same
# The check needs a moment for a pass: what nobody reads is found by it.
for _ in $(seq 300); do
  [ "$(grep -hc "event=data_damaged" "$state"/nodes/*/node.log | awk '{sum += $1} END {print sum}')" -gt "$found_before" ] && break
  sleep 0.2
done
repaired "running"
same

say "the damage that there is while a node is damaged and killed again and again"
victim=$(leader_of 128)
pid=$(node_pid "$victim")
kill -TERM "$pid"
ended "$pid" 20
python3 "$damage" "$state/nodes/$victim/data" 30 "$((seed + 2))" rows >"$scratch/flips" || die "$(cat "$scratch/flips")"
for pause in 0.5 1 2; do
  restart_ring
  sleep "$pause"
  kill -9 "$(node_pid "$victim")"
done
restart_ring
repaired "killed meanwhile"
same

end_load || die "the load"
"$ringfs" down --state "$state" >/dev/null
# Rows of replicas that were damaged lie there until a start copies the database.
restart_ring
wait_healthy
"$ringfs" down --state "$state" >/dev/null
python3 "$here/../chaos/placement.py" 3 "$state"/nodes/*/data/ringfs.db || die "replicas"
say ok

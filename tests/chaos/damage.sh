#!/bin/bash
# Bits are flipped in one node's files, while it is stopped and while it runs: the ring repairs itself. No operation of load.py fails,
# every byte is right, health becomes ok by itself, and in the end all replicas are undamaged and equal.
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

# count_events NAME: in the logs of all nodes.
count_events() { grep -hc "event=$1" "$state"/nodes/*/node.log | awk '{sum += $1} END {print sum}'; }

# end_victim SIGNAL: sends it to the node $victim; returns when the process has ended.
end_victim() {
  local pid
  pid=$(node_pid "$victim")
  kill "$1" "$pid"
  ended "$pid" 20
}

# flip COUNT SEED KIND: bits in the files of the node $victim (damage.py).
flip() { python3 "$damage" "$state/nodes/$victim/data" "$1" "$2" "$3" >"$scratch/flips" || die "$(cat "$scratch/flips")"; }

# passes: how often the process of the node $victim has verified everything that it holds.
passes() {
  on_node "$victim" curl -sf "http://$(jq -r ".nodes[] | select(.number == $victim) | .rest" "$state/ring.json")/metrics" |
    awk '$1 == "ringfs_verify_passes_total" { print int($2) }'
}

# repaired WHAT [PASSES]: waits until the node $victim has met all damage (only the background check finds it in bytes that no client
# reads: by the first pass that begins after the flips), no replica is damaged and health is ok; at least one replica must have been
# found damaged and thrown away or replaced: a process that is killed between the two does not say that the repair is done. PASSES of the process, 1 of one that was started since.
repaired() {
  local wanted=${2:-1}
  for _ in $(seq 600); do
    [ "$(passes)" -ge "$wanted" ] && break
    sleep 0.2
  done
  [ "$(passes)" -ge "$wanted" ] || die "$1: the background check does not get through"
  wait_healthy
  local found=0 again=0
  found=$(count_events data_damaged)
  again=$(count_events '\(replica_repaired\|damaged_replica_reset\)')
  say "$1: $found replicas found damaged so far, $again replaced"
  [ "$found" -gt "${found_before:-0}" ] || die "$1: no damage was noticed"
  [ "$again" -gt "${again_before:-0}" ] || die "$1: nothing was replaced"
  found_before=$found
  again_before=$again
}

same() { echo 3 >/proc/sys/vm/drop_caches; diff -r "$scratch/tree" "$mnt/tree" || die "bytes are wrong"; }

say "a node is killed, 60 bits are flipped anywhere in its files, and it starts again"
victim=$(leader_of 0)
end_victim -9
flip 60 "$((seed + 3))" files
restart_ring
same
repaired "killed"
same

say "a node is stopped, 60 bits are flipped in its data, and it starts again"
victim=$(leader_of 0)
end_victim -TERM
flip 60 "$seed" rows
restart_ring
same
repaired "stopped"
same

say "a node runs, and 20 bits are flipped in its payloads"
victim=$(leader_of 64)
passes_before=$(passes)
flip 20 "$((seed + 1))" payloads
same
repaired "running" $((passes_before + 2))
same

say "a damaged node is killed again and again"
victim=$(leader_of 128)
end_victim -TERM
flip 30 "$((seed + 2))" rows
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
# Rows of damaged replicas stay until a start copies the database.
restart_ring
wait_healthy
"$ringfs" down --state "$state" >/dev/null
python3 "$here/../chaos/placement.py" 3 "$state"/nodes/*/data/ringfs.db || die "replicas"
say ok

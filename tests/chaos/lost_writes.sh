#!/bin/bash
# A disk has lost writes that it acknowledged: pages of one node's rows have earlier contents with valid sums. The ring notices,
# replaces the old replicas, and every byte is right. No load meanwhile: until the check has found them, reads of these rows are old.
#   lost_writes.sh BUILD [SEED]
source "$(dirname "$0")/../posix/lib.sh"
damage=$here/../chaos/damage.py
seed=${2:-1}
say "seed $seed"
export RINGFS_TEST_SCRUB=without-pause

stop_node() {
  local pid
  pid=$(node_pid "$1")
  kill -TERM "$pid"
  ended "$pid" 20
}

mkdir "$scratch/tree"
(cd /usr/include && find . -type f | sort | sed -n 1,400p | xargs cp --parents -t "$scratch/tree")
start_ring 3
wait_healthy
cp -r "$scratch/tree" "$mnt/tree"
sync -f "$mnt/tree"

say "the database of a node as it is now"
victim=$(leader_of 0)
stop_node "$victim"
cp "$state/nodes/$victim/data/ringfs.db" "$scratch/earlier.db"
restart_ring
wait_healthy

say "files are made, changed and removed"
for where in "$scratch/tree" "$mnt/tree"; do
  mkdir "$where/new"
  for i in $(seq 200); do echo "new $i" >"$where/new/$i"; done
  find "$where" -name '*.h' | sort | sed -n 1,60p | while read -r file; do echo changed >>"$file"; done
  find "$where" -name '*.h' | sort | sed -n 61,120p | xargs rm
done
sync -f "$mnt/tree"

say "the last writes of 12 pages are lost"
stop_node "$victim"
python3 "$damage" "$state/nodes/$victim/data" 12 "$seed" lost "$scratch/earlier.db" >"$scratch/lost" || die "$(cat "$scratch/lost")"
restart_ring
found() { grep -hc "event=damage_found.*lost a write" "$state/nodes/$victim/node.log"; }
for _ in $(seq 300); do
  [ "$(found)" -gt 0 ] && break
  sleep 0.2
done
[ "$(found)" -gt 0 ] || die "nothing was noticed"
wait_healthy
say "$(found) times noticed, $(grep -hc "event=replica_repaired" "$state/nodes/$victim/node.log") replicas repaired"
echo 3 >/proc/sys/vm/drop_caches
diff -r "$scratch/tree" "$mnt/tree" || die "bytes are wrong"

"$ringfs" down --state "$state" >/dev/null
python3 "$here/../chaos/placement.py" 3 "$state"/nodes/*/data/ringfs.db || die "replicas"
say ok

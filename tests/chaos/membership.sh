#!/bin/bash
# Nodes join, leave and die while files are in use: no operation fails, every byte is right, and in the end each partition lies on
# exactly three nodes (read from the nodes' databases).
#   membership.sh BUILD
# load.py writes and reads with checksums, cp copies a tree, git works. Meanwhile: three nodes are added, two removed, one is killed and
# comes back, one is killed and replaced, and comes back later. Prints the durations of the longest operations.
source "$(dirname "$0")/../posix/lib.sh"
load=$here/../chaos/load.py
logs=$scratch/logs
mkdir "$logs"

# 5,000 files of every size, in their directories.
mkdir "$scratch/tree"
(cd /usr/include && find . -type f | sort | sed -n 1,5000p | xargs cp --parents -t "$scratch/tree")
start_ring 3
wait_healthy
echo 3 >"$mnt/.ring/config/replace_after"
start_load
(
  cp -r "$scratch/tree" "$mnt/tree" && diff -r "$scratch/tree" "$mnt/tree" &&
    git init -q "$mnt/git" && cd "$mnt/git" && git config user.email a@b && git config user.name a &&
    for turn in $(seq 30); do
      cp -r "/usr/include/linux/netfilter" "turn$turn" && git add -A && git commit -qm "turn $turn" || exit 1
    done && git fsck --strict
) >"$scratch/programs.log" 2>&1 &
programs=$!
extra_pids+=("$programs")

# The files that a user watches.
cat "$mnt/.ring/events" >"$scratch/events" &
watcher=$!
extra_pids+=("$watcher")

say "three nodes are added at once"
for _ in 1 2 3; do add_local; done
settled 300
[ "$(awk '$3 == "up"' "$mnt/.ring/members" | wc -l)" -eq 6 ] || die "not six nodes up: $(cat "$mnt/.ring/members")"

say "two are removed, one of them the leader of the members table's partition"
first=$(leader_of "$(partition_of_key ring/members)")
second=4
[ "$first" = 4 ] && second=5
for number in "$first" "$second"; do
  id=$(id_of "$number")
  pid=$(node_pid "$number")
  echo "$id" >"$mnt/.ring/remove" || die "remove: $(cat "$mnt/.ring/error_log")"
  has_state "$id" "" 300
  ended "$pid" 20
  say "node $number is gone"
done
settled 300

say "one is killed and comes back"
number=$(leader_of 0)
kill -9 "$(node_pid "$number")"
sleep 1
restart_ring
settled 300
wait_healthy

say "another one is killed, taken for dead and replaced"
number=$(leader_of 0)
id=$(id_of "$number")
kill -9 "$(node_pid "$number")"
has_state "$id" dead 60
settled 300
wait_healthy

say "and comes back"
restart_ring
has_state "$id" up 120
settled 300
wait_healthy

kill "$watcher"
wait "$watcher" || true
for event in started member_up member_removed member_dead member_joining leader_elected replica_added configuration_committed snapshot_installed; do
  grep -q "Z [0-9a-f-]\{36\} $event " "$scratch/events" || { cut -d" " -f3 "$scratch/events" | sort | uniq -c; die "no event $event"; }
done
say "$(wc -l <"$scratch/events") events"

failed=""
end_load || failed=yes
wait "$programs" || { cat "$scratch/programs.log"; failed=yes; }
diff -r "$scratch/tree" "$mnt/tree" || failed=yes
[ -z "$failed" ] || die "an operation failed, or bytes were wrong"

say "where everything lies"
"$ringfs" down --state "$state" >/dev/null
python3 "$here/../chaos/placement.py" 3 "$state"/nodes/*/data/ringfs.db || die "replicas are not where they belong"

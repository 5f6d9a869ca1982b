#!/bin/bash
# shellcheck disable=SC2034,SC2154 # variables of the scripts that are sourced, and for them
# Machines far from the others: 200 ms there and back, one frame of a hundred lost. Under load nobody is elected, and no
# operation fails.
#   slow.sh BUILD "MACHINES" SECONDS      of load: "C" and 60
set -eu -o pipefail
build=$1
read -ra far <<<"${2:-C}"
seconds=${3:-60}
source "$(dirname "$0")/lib.sh" "$@"
# The lines are as long as they are said to be only if whatever else the machine does comes second.
renice -n -10 $$ >/dev/null

# far_away MACHINE MILLISECONDS LOST: whatever it sends or gets arrives so much later, and LOST of a hundred frames never.
lines=()
far_away() {
  local ready=$RINGFS_LAB/$1/slow
  ip link add "near$1" type veth peer name "far$1"
  ip link set "near$1" master bridge up
  ip link set "far$1" up
  ip link set "port$1" nomaster
  python3 "$tests/machines/slow_link.py" "port$1" "far$1" "$2" "$3" "$ready" &
  lines+=($!)
  until [ -e "$ready" ]; do sleep 0.05; done
}
near_again() {
  ip link delete "near$1"
  ip link set "port$1" master bridge
}

# takes MILLISECONDS FROM TO: there and back, by the quickest of some connections to the node.
takes() {
  local took
  took=$(nsenter --net="/run/netns/$2" python3 -c '
import socket, sys, time
def took():
    begin = time.monotonic()
    socket.create_connection((sys.argv[1], 4001)).close()
    return time.monotonic() - begin
print(round(1000 * min(took() for _ in range(8))))' "$subnet.$(number_of "$3")")
  say "from $2 to $3 and back: $took ms"
  [ "$took" -ge "$1" ] && [ "$took" -lt $(($1 * 2)) ] || die "the line takes $took ms instead of $1"
}

# A line for each group: its term, its leader, and the node that should lead it.
groups() { on D ringfs ring --node $nodes --output json | jq -r '.[] | "\(.partition) \(.term) \(.leader) \(.replicas[0])"'; }
# Leadership goes back to where it should be, group by group; then it stays.
settled() { healthy && groups >"$RINGFS_LAB/groups" && awk '$3 != $4 { exit 1 }' "$RINGFS_LAB/groups"; }
# look FILE: all nodes have answered.
look() { groups >"$RINGFS_LAB/$1" && ! grep -q null "$RINGFS_LAB/$1"; }
elected_none() {
  until_true 30 "not all nodes answer" look before
  sleep "$seconds"
  until_true 30 "not all nodes answer" look after
  diff "$RINGFS_LAB/before" "$RINGFS_LAB/after" >"$RINGFS_LAB/changes" && return
  head -n 30 "$RINGFS_LAB/changes"
  dd if="$mnt/.ring/events" iflag=nonblock bs=64k status=none | grep -v lease_expired | tail -n 40 || true
  die "elections in $seconds s: $(grep -c '^>' "$RINGFS_LAB/changes") groups"
}

for machine in A B C D; do make_machine $machine; done
# Between two far machines there are two lines.
if [ ${#far[@]} = 1 ]; then milliseconds=100 lost=1; else milliseconds=50 lost=0.5; fi
for machine in "${far[@]}"; do far_away "$machine" $milliseconds $lost; done
start_ring
if [ ${#far[@]} = 1 ]; then takes 200 A "${far[0]}"; else takes 200 "${far[0]}" "${far[1]}"; fi
# Not tests/chaos/load.py: a line of this kind carries some 90 kB/s in one connection, and heartbeats wait behind data.
mkdir "$mnt/load"
python3 "$tests/machines/light_load.py" "$mnt/load" &
load_pid=$!
until_true 120 "not all groups are led where they should be" settled
elected_none
for line in "${lines[@]}"; do kill "$line"; done
for machine in "${far[@]}"; do near_again "$machine"; done
kill -0 $load_pid 2>/dev/null || die "the load has ended"
kill $load_pid
wait $load_pid || die "an operation failed, or bytes are wrong"

#!/bin/bash
# A node whose files are missing or damaged does not keep the others down; a new node replaces it, and the ring is healthy again.
source "$(dirname "$0")/lib.sh"
start_ring 3
wait_healthy
mkdir "$mnt/dir"
for number in $(seq 30); do head -c $((number * 5000)) /dev/urandom >"$mnt/dir/$number"; done
(cd "$mnt/dir" && sha256sum -- *) >"$scratch/sums"
unchanged() { (cd "$mnt/dir" && sha256sum --quiet -c "$scratch/sums") || die "contents are not what they were"; }

# comes_up_without NUMBER TEXT: two of three serve, `up` says TEXT of that node and names the command that repairs it.
comes_up_without() {
  local status=0
  "$ringfs" up --state "$state" "$mnt" >"$scratch/up.log" 2>&1 || status=$?
  [ $status -eq 3 ] || { cat "$scratch/up.log"; die "up ended with $status instead of 3"; }
  grep -q "node $1: .*$2" "$scratch/up.log" || { cat "$scratch/up.log"; die "up does not say '$2' of node $1"; }
  grep -qF "try: ringfs up --replace $1 --state $state $mnt" "$scratch/up.log" || { cat "$scratch/up.log"; die "up does not say what mends it"; }
  runs_program "$(node_pid "$1" 2>/dev/null || echo 1)" "$ringfs_node" && die "node $1 runs"
  unchanged
  echo "written without it" >"$mnt/without"
}

# is_replaced NUMBER: another node has its number, the ring is healthy, the old one is no member any more.
is_replaced() {
  local old
  old=$(id_of "$1")
  "$ringfs" up --replace "$1" --state "$state" "$mnt" >"$scratch/up.log" 2>&1 || { cat "$scratch/up.log"; die "up --replace"; }
  [ "$(id_of "$1")" != "$old" ] || die "node $1 still has its identity"
  [ "$(state_of "$(id_of "$1")")" != "" ] || die "the new node is no member"
  for _ in $(seq 600); do
    [ "$(state_of "$old")" = "" ] && [ "$(state_of "$(id_of "$1")")" = up ] && break
    sleep 0.2
  done
  [ "$(state_of "$old")" = "" ] || { cat "$mnt/.ring/members"; die "the old node is still a member"; }
  settled 300
  wait_healthy
  grep -qx "nodes 3" "$mnt/.ring/status" || die "not three nodes"
  unchanged
}

say "the payloads of node 1 are missing"
"$ringfs" down --state "$state" >/dev/null
rm "$state/nodes/1/data/ringfs.payloads"
comes_up_without 1 "ringfs.payloads"
is_replaced 1
[ -e "$state/nodes/1/data.before/ringfs.db" ] || die "what was left of its data was not put aside"

say "the directory of node 2 is empty"
"$ringfs" down --state "$state" >/dev/null
rm -r "$state/nodes/2/data"
mkdir "$state/nodes/2/data"
comes_up_without 2 "its data is gone"
expect_failure "$ringfs" up --replace 1 --state "$state" "$mnt" | grep -q "runs as process" || die "a node that runs was replaced"
is_replaced 2

say "the database of node 3 is damaged"
"$ringfs" down --state "$state" >/dev/null
dd if=/dev/urandom of="$state/nodes/3/data/ringfs.db" bs=4096 count=4 conv=notrunc status=none
rm -f "$state"/nodes/3/data/ringfs.db-*
comes_up_without 3 "damaged\|not a RingFS database"
is_replaced 3

say "cut short: the next up finishes it"
"$ringfs" down --state "$state" >/dev/null
rm -r "$state/nodes/1/data"
# Only ring.json names the replacement, as if `up` had been killed after its first step.
old=$(id_of 1)
jq '(.nodes[] | select(.number == 1)) |= (.replaces = .id | .id = null)' "$state/ring.json" >"$scratch/ring.json"
cp "$scratch/ring.json" "$state/ring.json"
restart_ring
settled 300
wait_healthy
[ "$(state_of "$old")" = "" ] || die "the old node is still a member"
[ "$(state_of "$(id_of 1)")" = up ] || die "the new node is not up"
unchanged
restart_ring

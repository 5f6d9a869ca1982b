#!/bin/bash
# A node is its database. A process with a copy or an older state of it reports that, ends by itself and does not disturb the ring; a
# node with a new disk is another node.
source "$(dirname "$0")/lib.sh"

# refused_node NAME: the process of that data directory has ended with exit code 8 and logged the reason.
refused_node() {
  local status=0
  for _ in $(seq 300); do
    runs_program "$node_process" "$ringfs_node" || break
    sleep 0.1
  done
  runs_program "$node_process" "$ringfs_node" && die "the node of $1 still runs"
  wait "$node_process" || status=$?
  [ $status -eq 8 ] || { cat "$scratch/$1.log"; die "the node of $1 ended with $status"; }
  grep -q "is a copy, or an older state, of a node that has run since" "$scratch/$1.log" || { cat "$scratch/$1.log"; die "without words"; }
  tail -n 2 "$scratch/$1.log"
}

# unchanged: members, addresses and files are as before, and new files can be written in all partitions.
unchanged() {
  [ "$(cut -d" " -f1-3 "$mnt/.ring/members")" = "$members" ] || { cat "$mnt/.ring/members"; die "the members were changed"; }
  for number in $(seq 100); do
    [ "$(cat "$mnt/file$number")" = "text $number" ] || die "file$number is wrong"
    echo "text $number" >"$mnt/file$number" || die "file$number cannot be written"
  done
}

start_ring 4
wait_healthy
for number in $(seq 100); do echo "text $number" >"$mnt/file$number"; done
id=$(id_of 4)

say "a copy of a database is started while the node runs"
kill -9 "$(node_pid 4)"
cp -r "$state/nodes/4/data" "$scratch/copy"
cp -r "$state/nodes/4/data" "$scratch/older"
restart_ring
wait_healthy
settled 60
original=$(node_pid 4)
members=$(cut -d" " -f1-3 "$mnt/.ring/members")
start_node copy
unchanged
refused_node copy
unchanged
runs_program "$original" "$ringfs_node" || die "the node itself has ended"
wait_healthy
dd if="$mnt/.ring/events" iflag=nonblock bs=64k 2>/dev/null | grep -q " clone_refused source=$id" || die "no event says so"

say "an older state of a node is put back"
kill -9 "$original"
start_node older
refused_node older
unchanged

say "a node's disk is lost: another one comes, under another id"
start_node empty
[ "$(sed -n 's/^ready node=\([^ ]*\).*/\1/p' "$scratch/empty.out")" != "$id" ] || die "the same id"
echo "$address" >"$mnt/.ring/add"
echo "$id force" >"$mnt/.ring/remove"
settled 120
wait_healthy
[ "$(awk '$3 == "up"' "$mnt/.ring/members" | wc -l)" -eq 4 ] || { cat "$mnt/.ring/members"; die "not four members"; }
members=$(cut -d" " -f1-3 "$mnt/.ring/members")
unchanged

#!/bin/bash
# A full disk costs no more than a dead node. Three nodes, node 2's data on a disk of 300 MB: the two others go on when it is full, a
# node can be added, everything can be removed, and removed bytes go back to the disks without a restart. Then another program fills two
# disks to the last byte: ENOSPC at once instead of a timeout; reads and removals go on, also after a restart.
#   full_disk.sh BUILD
source "$(dirname "$0")/../posix/lib.sh"
[ "$(id -u)" -eq 0 ] || die "mounting file systems needs root"

disk() { echo "$state/nodes/$1/data"; }
used_mib() { echo $(($(du -s --block-size=1 "$(disk "$1")" | awk '{print $1}') >> 20)); }
log_of() { cat "$state/nodes/$1/node.log"; }

# make_disk NODE SIZE
make_disk() {
  mkdir -p "$(disk "$1")"
  mount -t tmpfs -o "size=$2" ringfs-test "$(disk "$1")"
  disk_mounts+=("$(disk "$1")")
}

# Fills a disk up to the node's reserve of 16 MiB. A node whose disk gets short gives room back, mostly from logs, and the janitor
# collects removed files; that room is filled, too, until no more comes.
fill() {
  local still=0 left
  cat /dev/zero >"$(disk "$1")/of-others" 2>/dev/null || true
  for _ in $(seq 60); do
    sleep 1
    left=$(df --output=avail "$(disk "$1")" | tail -n 1)
    if [ "$left" -le $((17 << 10)) ]; then
      still=$((still + 1))
      [ "$still" -lt 4 ] || return 0
    else
      still=0
      head -c $((left - (16 << 10)))K /dev/zero >>"$(disk "$1")/of-others" || true
    fi
  done
  die "the disk of node $1 is not full"
}

# within SECONDS COMMAND...: the command succeeds by then.
within() {
  local seconds=$1
  shift
  for _ in $(seq $((2 * seconds))); do
    "$@" && return
    sleep 0.5
  done
  die "not within $seconds s: $*"
}

is_full() { log_of "$1" | grep -q event=disk_full; }
uses_less_than() { [ "$(used_mib "$1")" -lt "$2" ]; }
all_there() { [ "$(cat "$mnt"/load/* | sha256sum)" = "$sum" ]; }

make_disk 2 300m
make_disk 3 1500m
start_ring 3
wait_healthy
before=$(df --output=avail -B1 "$mnt" | tail -n 1)
mkdir "$mnt/load"

say "node 2 fills up, the others go on"
head -c 20M /dev/urandom >"$scratch/piece"
for number in $(seq 20); do cp "$scratch/piece" "$mnt/load/$number" || die "write $number: node 2 is full, the others are not"; done
within 30 is_full 2
sum=$(for _ in $(seq 20); do cat "$scratch/piece"; done | sha256sum)
all_there || die "not what was written"
[ "$(df --output=avail -B1 "$mnt" | tail -n 1)" -gt 0 ] || die "df says that nothing can be written"
[ "$(df --output=avail -B1 "$mnt" | tail -n 1)" -lt "$before" ] || die "df says that nothing was written"
echo "node 2 uses $(used_mib 2) MiB, node 3 $(used_mib 3) MiB"

say "a node is added meanwhile"
add_local
has_state "$(id_of 4)" up 120
all_there || die "not what was written"

say "everything is removed, and the disks get it back"
rm -r "$mnt/load"
# Node 2 keeps what a short disk may keep; the others keep 256 MiB of logs, the reserve, a WAL and free room for the next writes.
within 60 uses_less_than 2 160
for number in 3 4; do within 60 uses_less_than "$number" 340; done
wait_healthy
head -c 50M /dev/urandom >"$mnt/after" || die "50 MB do not fit"
echo "node 2 uses $(used_mib 2) MiB, node 3 $(used_mib 3) MiB"

say "a restart"
"$ringfs" down --state "$state" >/dev/null
restart_ring
wait_healthy
head -c 50M /dev/urandom >"$mnt/again" || die "50 MB do not fit after a restart"
rm "$mnt/after" "$mnt/again"

say "two of four disks are filled by somebody else"
mkdir "$mnt/kept"
for number in $(seq 20); do head -c 1M /dev/urandom >"$mnt/kept/$number"; done
kept_sum() { find "$mnt/kept" -type f ! -name 'new-*' -print0 | sort -z | xargs -0 cat | sha256sum; }
sum_kept=$(kept_sum)
fill 2
fill 3
within 30 is_full 3
refused=0
for number in $(seq 30); do
  began=$(date +%s)
  status=0
  head -c 3M "$scratch/piece" 2>/dev/null >"$mnt/kept/new-$number" || status=$?
  [ $(($(date +%s) - began)) -lt 20 ] || die "a write waited instead of being refused"
  [ $status -eq 0 ] || refused=$((refused + 1))
done
[ "$refused" -gt 0 ] || die "two disks are full, and everything is written"
echo "$refused of 30 writes were refused"
[ "$(kept_sum)" = "$sum_kept" ] || die "reads on full disks"

say "a node with a full disk starts again"
kill -9 "$(node_pid 2)"
restart_ring
[ "$(kept_sum)" = "$sum_kept" ] || die "reads after the start"

say "everything can be removed"
rm -r "$mnt/kept" || die "rm on full disks"
[ ! -e "$mnt/kept" ] || die "it is still there"

say "there is room again"
rm "$(disk 2)/of-others" "$(disk 3)/of-others"
wait_healthy
within 20 eval 'head -c 20M "$scratch/piece" >"$mnt/last" 2>/dev/null'
cmp <(head -c 20M "$scratch/piece") "$mnt/last" || die "not what was written"

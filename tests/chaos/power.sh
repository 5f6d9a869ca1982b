#!/bin/bash
# Power cuts. Three nodes, each with its data on an ext4 of its own in a loop-mounted file. While load.py writes, file systems are
# shut down without flushing (EXT4_IOC_SHUTDOWN, EXT4_GOING_FLAGS_NOLOGFLUSH) and their nodes killed: what ext4 had not written to
# its device is gone, as after a power failure. One node, then a majority, then all nodes and the mount at once, several times.
# After remount and restart everything that fsync or close acknowledged is there.
#   power.sh BUILD                 must pass
#   power.sh BUILD --expect-loss   the nodes run with synchronous=OFF (a test switch): the same test must lose something
source "$(dirname "$0")/../posix/lib.sh"
cuts_of_all=3
work_seconds=4
load=$here/../chaos/load.py
expect_loss=no
if [ "${2:-}" = --expect-loss ]; then
  expect_loss=yes
  export RINGFS_TEST_SYNCHRONOUS=off
fi
[ "$(id -u)" -eq 0 ] || die "mounting file systems needs root"

# Acknowledged data was lost.
lost() {
  echo "LOST: $*"
  [ $expect_loss = yes ] || die "acknowledged data was lost"
  say "lost, as it must be without fsync"
  exit 0
}

# ---- Disks whose power can be cut ----

disk() { echo "$state/nodes/$1/data"; }  # where `ringfs up` puts the node's data

plug_in() { mount -o loop "$scratch/disk-$1" "$(disk "$1")"; }

make_disk() {
  truncate -s 1G "$scratch/disk-$1"
  mkfs.ext4 -q -m 0 "$scratch/disk-$1"
  mkdir -p "$(disk "$1")"
  disk_mounts+=("$(disk "$1")")
  plug_in "$1"
}

# cut_power NODE...: stops their disks at once, one after the other within microseconds, then their processes.
cut_power() {
  local number pids=() disks=()
  for number in "$@"; do
    pids+=("$(node_pid "$number")")
    disks+=("$(disk "$number")")
  done
  python3 - "${disks[@]}" <<'PYTHON'
import fcntl, os, struct, sys
EXT4_IOC_SHUTDOWN = 0x8004587D  # _IOR('X', 125, __u32)
EXT4_GOING_FLAGS_NOLOGFLUSH = 2
disks = [os.open(path, os.O_RDONLY) for path in sys.argv[1:]]
for disk in disks:
    fcntl.ioctl(disk, EXT4_IOC_SHUTDOWN, struct.pack("I", EXT4_GOING_FLAGS_NOLOGFLUSH))
PYTHON
  kill -9 "${pids[@]}" 2>/dev/null || true  # a process that met the dead disk has ended by itself
  for number in "$@"; do
    touch "$(disk "$number")/dead" 2>/dev/null && die "the disk of node $number still works"
    unplug "$number"
  done
}

# Unmounting drops the pages that never reached the device; the processes must have ended before.
unplug() {
  for _ in $(seq 100); do
    umount "$(disk "$1")" 2>/dev/null && return
    sleep 0.1
  done
  die "the disk of node $1 cannot be unmounted"
}

power_on() {
  local number
  for number in "$@"; do plug_in "$number"; done  # replays the journal
  if ! "$ringfs" up --state "$state" "$mnt" >"$scratch/up.log" 2>&1; then
    cat "$scratch/up.log"
    grep -q "is damaged" "$scratch/up.log" && lost "a database"
    die "ringfs up after a power cut"
  fi
}

# The ring must serve again. Without fsync a replica may have lost what it acknowledged, and its group may wait for it for ever.
recovered() {
  if [ $expect_loss = no ]; then wait_healthy; else sleep 5; fi
}

# ---- The load ----

start_load() {
  logs=$scratch/logs-$1
  # Without any fsync a node would also forget its ring and could not come back. Only acknowledged writes of the load are to be lost.
  if [ $expect_loss = yes ]; then sync -f "$(disk 1)" && sync -f "$(disk 2)" && sync -f "$(disk 3)"; fi
  mkdir "$logs"
  python3 "$load" run "$mnt/load" "$scratch/records" "$logs" >"$scratch/load-$1.log" 2>&1 &
  loader=$!
  extra_pids+=("$loader")
  sleep "$work_seconds"
  kill -0 "$loader" || die "the load ended: $(cat "$scratch/load-$1.log")"
}

stop_load() {
  touch "$logs/stop"
  wait "$loader" || true  # the logs have the failures
  say "$(cat "$logs"/*Writer "$logs"/*Reader | wc -l) operations"
  local wrong
  wrong=$(grep -h "wrong:" "$logs"/*er | head -n 5) || true
  [ -z "$wrong" ] || lost "$wrong"
}

# no_failures [ERRNO]: no operation of the mount failed, except with this errno.
no_failures() {
  local failures
  [ $expect_loss = no ] || return 0
  failures=$(grep -h "error:" "$logs"/*er | grep -v "error: ${1:-none}" | head -n 5) || true
  [ -z "$failures" ] || die "operations failed: $failures"
}

verify() {
  local status=0
  python3 "$load" verify "$mnt/load" "$scratch/records" >"$scratch/verify.log" 2>&1 || status=$?
  tail -n 8 "$scratch/verify.log"
  [ $status -ne 1 ] || lost "$(grep -c LOST "$scratch/verify.log") objects"
  [ $status -eq 0 ] || [ $expect_loss = yes ] || die "the mount does not give everything"
}

for number in 1 2 3; do make_disk $number; done
start_ring 3
wait_healthy
if [ $expect_loss = yes ]; then
  grep -q event=synchronous_off "$state/nodes/1/node.log" || die "the test switch does not work"
fi
mkdir "$mnt/load"

victim=$(leader_of 0)
say "one node: $victim, the primary of the root directory"
start_load one
cut_power "$victim"
sleep "$work_seconds"
power_on "$victim"
recovered
stop_load
no_failures
verify

others=()
for number in 1 2 3; do [ "$number" = "$victim" ] || others+=("$number"); done
say "a majority: nodes ${others[*]}"
start_load majority
cut_power "${others[@]}"
sleep 1
power_on "${others[@]}"
recovered
sleep "$work_seconds"
stop_load
no_failures ETIMEDOUT
verify

for round in $(seq $cuts_of_all); do
  say "all nodes and the mount at once, $round of $cuts_of_all"
  start_load "all-$round"
  cut_power 1 2 3
  kill -9 "$(mount_pid)"
  stop_load
  power_on 1 2 3
  recovered
  verify
done
[ $expect_loss = no ] || die "nothing was lost with synchronous=OFF: this test would not notice"

#!/bin/bash
# Bytes that are neither synced nor closed are sent after five seconds at the latest, at once with -o sync. Linux does not pass sync(2)
# and syncfs(2) on to FUSE.
source "$(dirname "$0")/lib.sh"
start_ring 3

# write_and_keep FILE: a process that has written a megabyte and keeps the descriptor open.
write_and_keep() {
  : >"$scratch/writer.out"
  python3 -c '
import os, sys, time
descriptor = os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY)
os.write(descriptor, bytes(range(1, 251)) * 4000)
print("written", flush=True)
time.sleep(120)' "$1" >"$scratch/writer.out" &
  extra_pids+=($!)
  for _ in $(seq 100); do grep -q written "$scratch/writer.out" && return; sleep 0.1; done
  die "not written"
}

# killed_mount DIRECTORY OPTIONS...: sets victim, the process of a mount of our own.
killed_mount() {
  local directory=$1
  shift
  mkdir -p "$directory"
  extra_mounts+=("$directory")
  "$ringfs" mount --foreground "$(addresses)" "$directory" "$@" >"$scratch/victim.log" 2>&1 &
  victim=$!
  extra_pids+=("$victim")
  for _ in $(seq 100); do mountpoint -q "$directory" && return; sleep 0.1; done
  die "not mounted: $(cat "$scratch/victim.log")"
}

whole() { python3 -c 'import sys; sys.exit(open(sys.argv[1], "rb").read() != bytes(range(1, 251)) * 4000)' "$1"; }

say "five seconds after it was written, the mount dies"
killed_mount "$scratch/a"
write_and_keep "$scratch/a/kept"
sleep 6  # the five seconds of docs/posix.md, and one for a busy machine
kill -9 "$victim"
wait "$victim" 2>/dev/null || true
whole "$mnt/kept" || die "$(stat -c %s "$mnt/kept") bytes are there"

say "with -o sync, the mount dies at once"
killed_mount "$scratch/b" -o sync
grep -q " $scratch/b .*[ ,]sync[ ,]" /proc/self/mounts || die "mount(8) does not show sync: $(grep "$scratch/b" /proc/self/mounts)"
write_and_keep "$scratch/b/synced"
kill -9 "$victim"
wait "$victim" 2>/dev/null || true
whole "$mnt/synced" || die "$(stat -c %s "$mnt/synced") bytes are there"

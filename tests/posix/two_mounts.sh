#!/bin/bash
# Two mounts of one ring: close-to-open, kept-open readers, replaced files, races of creators, appends in one piece; a mount that stops.
source "$(dirname "$0")/lib.sh"
start_ring 3
other=$scratch/other
second_mount "$other"

say "an open sees every closed write"
for i in $(seq 50); do
  echo "version $i" >"$mnt/file"
  [ "$(cat "$other/file")" = "version $i" ] || die "round $i: $(cat "$other/file")"
done
head -c 3000000 /dev/urandom >"$mnt/large"
cmp "$mnt/large" "$other/large"
head -c 2500000 /dev/urandom >"$other/large"
cmp "$mnt/large" "$other/large"

say "a file replaced by rename"
for i in $(seq 30); do
  echo "new $i" >"$mnt/temporary"
  cat "$other/file" >/dev/null
  mv "$mnt/temporary" "$mnt/file"
  [ "$(cat "$other/file")" = "new $i" ] || die "round $i: $(cat "$other/file")"
done
rm "$other/file"
[ ! -e "$mnt/file" ] || die "removed there, still here"

say "O_EXCL: one winner each time"
mkdir "$mnt/race"
python3 "$here/programs/exclusive_race.py" "$mnt/race" "$other/race" 1000

say "O_CREAT: everybody gets the file, or is told that it is not theirs"
mkdir "$mnt/create" "$scratch/third" "$scratch/fourth"
chmod 711 "$scratch"
for m in third fourth; do
  extra_mounts+=("$scratch/$m")
  "$ringfs" mount "$(addresses)" "$scratch/$m" -o allow_other
done
python3 "$here/programs/create_race.py" "$scratch/third/create" "$scratch/fourth/create" 1000
for m in third fourth; do "$ringfs" umount "$scratch/$m"; done

say "readers that keep a file open while it grows"
mkdir "$mnt/kept"
python3 "$here/programs/kept_open.py" "$mnt/kept" "$other/kept" 200

say "appends from both mounts"
: >"$mnt/log"
for m in "$mnt" "$other"; do
  (for i in $(seq 100); do echo "$(basename "$m") $i" >>"$m/log"; done) &
done
wait
[ "$(wc -l <"$mnt/log")" = 200 ] || die "$(wc -l <"$mnt/log") lines"
[ "$(sort -u "$other/log" | wc -l)" = 200 ] || die "torn lines"

say "SQLite from both mounts in turn"
mkdir "$mnt/sqlite"
python3 "$here/programs/sqlite_in_turn.py" "$mnt/sqlite" "$other/sqlite" 40

say "a mount as a person might start it: in the foreground, a relative path, options first"
third=$scratch/third
(cd "$scratch" && exec "$ringfs" mount --foreground -o allow_other "$(addresses)" third) >"$scratch/third.log" 2>&1 &
third_pid=$!
extra_pids+=("$third_pid")
for _ in $(seq 100); do mountpoint -q "$third" && break; sleep 0.1; done
mountpoint -q "$third" || die "not mounted"

say "a mount that does not answer"
kill -STOP "$third_pid"
status=0
timeout 60 "$ringfs" doctor --state "$state" >"$scratch/doctor.out" 2>&1 || status=$?
[ $status -eq 1 ] || die "doctor: $status"
grep -q "$third does not answer" "$scratch/doctor.out" || die "doctor: $(cat "$scratch/doctor.out")"
status=0
timeout 60 "$ringfs" info --timeout 2 "$third/log" >"$scratch/info.out" 2>&1 || status=$?
[ $status -eq 4 ] || die "info: $status $(cat "$scratch/info.out")"
status=0
timeout 60 "$ringfs" mount "$(addresses)" "$third" >"$scratch/mount.out" 2>&1 || status=$?
[ $status -eq 1 ] || die "mount over it: $status"
grep -q "does not answer" "$scratch/mount.out" || die "mount over it: $(cat "$scratch/mount.out")"
kill -CONT "$third_pid"

say "umount waits for the process, however it was started"
head -c 20000000 /dev/urandom >"$scratch/bytes"
cp "$scratch/bytes" "$third/bytes"
(cd "$third" && "$ringfs" umount "$third") >/dev/null 2>&1 && die "unmounted while in use"
"$ringfs" umount "$third"
[ ! -e "/proc/$third_pid/exe" ] || die "umount returned before process $third_pid ended"
cmp "$scratch/bytes" "$mnt/bytes"

say "down waits for what is dirty while the nodes do not answer"
"$ringfs" umount "$other"
python3 -c '
import os, sys, time
descriptor = os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY)
print("opened", flush=True)
while not os.path.exists(sys.argv[2]): time.sleep(0.05)
os.write(descriptor, b"dirty bytes")
print("written", flush=True)
time.sleep(120)' "$mnt/dirty" "$scratch/frozen" >"$scratch/writer.out" &
extra_pids+=($!)
for _ in $(seq 100); do grep -q opened "$scratch/writer.out" && break; sleep 0.1; done
# Written while the nodes do not answer: no write-back can have come before.
nodes=$(for i in 1 2 3; do node_pid $i; done)
kill -STOP $nodes
touch "$scratch/frozen"
(sleep 20; kill -CONT $nodes) &
for _ in $(seq 100); do grep -q written "$scratch/writer.out" && break; sleep 0.1; done
grep -q written "$scratch/writer.out" || die "a write waits for the ring"
status=0
"$ringfs" down --state "$state" >/dev/null 2>"$scratch/down.err" || status=$?
[ $status -eq 0 ] || die "down: $status $(cat "$scratch/down.err")"
grep -q "waiting for the mount process" "$scratch/down.err" || die "down did not say what it waited for"
restart_ring
[ "$(cat "$mnt/dirty")" = "dirty bytes" ] || die "lost: $(cat "$mnt/dirty")"

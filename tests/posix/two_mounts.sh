#!/bin/bash
# Two mounts of one ring: close-to-open, replaced files, O_EXCL has one winner, appends stay whole.
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
python3 "$here/exclusive_race.py" "$mnt/race" "$other/race" 1000

say "appends from both mounts"
: >"$mnt/log"
for m in "$mnt" "$other"; do
  (for i in $(seq 100); do echo "$(basename "$m") $i" >>"$m/log"; done) &
done
wait
[ "$(wc -l <"$mnt/log")" = 200 ] || die "$(wc -l <"$mnt/log") lines"
[ "$(sort -u "$other/log" | wc -l)" = 200 ] || die "torn lines"

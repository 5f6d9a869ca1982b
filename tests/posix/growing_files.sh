#!/bin/bash
# Files grow under readers, on one mount and on two: no reader gets bytes that were never written, or misses acknowledged ones.
# GROWING_SECONDS: how long each kind of writer runs.
source "$(dirname "$0")/lib.sh"
start_ring 3
other=$scratch/other
second_mount "$other"
mkdir "$mnt/grow"
seconds=${GROWING_SECONDS:-8}

for kind in append append-here plain fsync; do
  for readers in "$mnt" "$other"; do
    [ "$kind $readers" != "append-here $other" ] || continue  # docs/posix.md: a descriptor for plain writes beside such readers
    say "$kind, read through $([ "$readers" = "$mnt" ] && echo "the same mount" || echo "another mount")"
    python3 "$here/programs/growing_file.py" "$kind" "$mnt/grow" "$readers/grow" "$seconds" || die "a reader saw what was never there"
    rm -f "$mnt/grow"/*
  done
done

say "append from both mounts"
for readers in "$mnt" "$other"; do
  python3 "$here/programs/growing_file.py" append "$mnt/grow,$other/grow" "$readers/grow" "$seconds" || die "a reader saw what was never there"
  rm -f "$mnt/grow"/*
done

say "bytes overwritten elsewhere, where the size changes, too"
head -c 40000 /dev/zero | tr '\0' a >"$mnt/bytes"
exec 9<"$other/bytes"
[ "$(head -c 4 <&9)" = aaaa ] || die "not read"
printf BBBB | dd of="$mnt/bytes" conv=notrunc status=none
truncate -s 40001 "$mnt/bytes"
# The reader asks only for bytes before the end; docs/posix.md says when it sees them.
for _ in $(seq 30); do
  seen=$(python3 -c 'import os; print(os.pread(9, 4, 0).decode())')
  [ "$seen" = BBBB ] && break
  sleep 1
done
[ "$seen" = BBBB ] || die "a reader that keeps the file open still sees $seen"
exec 9<&-

say "the position of a descriptor that appends"
python3 "$here/programs/append_position.py" "$mnt/position" "$other/position"

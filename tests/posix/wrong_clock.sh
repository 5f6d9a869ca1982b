#!/bin/bash
# One of three nodes has a wrong wall clock: hours ahead, then at 1970, then right again. Times of files stay right, an unlinked file that is
# open stays for longer than the janitor waits, transactions and new members work, and health names the node.
source "$(dirname "$0")/lib.sh"
faketime=$(ls /usr/lib/*/faketime/libfaketimeMT.so.1 2>/dev/null | head -n 1)
[ -n "$faketime" ] || die "the package faketime is not installed"
start_ring 3
wait_healthy
wrong_id=$(id_of 2)

# Only the node's process sees the wrong time; its boot clock stays right.
restart_wrong() {  # OFFSET
  local pid
  pid=$(node_pid 2)
  kill -9 "$pid"
  ended "$pid" 10
  LD_PRELOAD=$faketime FAKETIME_DONT_FAKE_MONOTONIC=1 FAKETIME=$1 "$ringfs" up --state "$state" "$mnt" >"$scratch/up.log" 2>&1 ||
    { cat "$scratch/up.log"; die "ringfs up with one wrong clock"; }
}

# Waits until it leads partitions: then its clock stamps logs.
await_leading() {
  for _ in $(seq 150); do
    "$ringfs" ring --state "$state" --output json | jq -e --arg id "$wrong_id" '[.[] | select(.leader == $id)] | length > 20' >/dev/null && return
    sleep 0.2
  done
  die "node 2 leads nothing"
}

times_are_right() {  # DIRECTORY: made here, with files in many partitions
  mkdir "$1"
  for i in $(seq 40); do
    mkdir "$1/d$i"
    echo "$i" >"$1/d$i/f"
    ln -s target "$1/d$i/l"
  done
  mv "$1/d1/f" "$1/d2/moved"
  python3 - "$1" <<'PYTHON'
import os, sys, time
now = time.time()
for directory, directories, files in os.walk(sys.argv[1]):
    for name in directories + files:
        path = os.path.join(directory, name)
        status = os.lstat(path)
        for kind, value in (("mtime", status.st_mtime), ("ctime", status.st_ctime)):
            if abs(value - now) > 120:
                sys.exit(f"{path}: {kind} is {value - now:.0f} s away")
PYTHON
}

transactions_work() {  # DIRECTORY
  mkdir "$1" "$1/a" "$1/b"
  for i in $(seq 15); do
    mkdir "$1/a/$i"
    echo "$i" >"$1/a/$i/f"
    mv "$1/a/$i" "$1/b/$i"
    [ "$(cat "$1/b/$i/f")" = "$i" ] || die "moved directory $i"
    rm -r "$1/b/$i"
  done
  rmdir "$1/a" "$1/b" "$1"
}

named() {  # WORDS: within half a minute, health is degraded and says these words of this node
  for _ in $(seq 150); do
    cat "$mnt/.ring/health" >"$scratch/health"
    [ "$(head -n 1 "$scratch/health")" = degraded ] && grep -q "clock of node $wrong_id .*$1" "$scratch/health" && return
    sleep 0.2
  done
  cat "$mnt/.ring/health"
  die "health does not name the node whose clock is wrong"
}

say "six hours ahead"
restart_wrong +6h
await_leading
named "ahead of"

say "an unlinked file that is open, for a minute and a half"
python3 -c '
import os, sys, time
path = sys.argv[1]
files = []
for i in range(30):
    directory = f"{path}/d{i}"
    os.makedirs(directory)
    contents = os.urandom(3000 + 40000 * (i % 2))
    handle = os.open(f"{directory}/open", os.O_RDWR | os.O_CREAT)
    os.write(handle, contents)
    os.fsync(handle)
    os.unlink(f"{directory}/open")
    files.append((handle, contents))
open(sys.argv[2], "w").close()
end = time.monotonic() + 90
while time.monotonic() < end:
    for handle, contents in files:
        if os.pread(handle, 1 << 20, 0) != contents:
            sys.exit("an open file has lost its contents")
    time.sleep(5)
for handle, contents in files:
    os.pwrite(handle, b"still", 0)
    os.fsync(handle)
    if os.pread(handle, 1 << 20, 0) != b"still" + contents[5:]:
        sys.exit("an open file cannot be written")
' "$mnt/kept" "$scratch/kept.ready" >"$scratch/kept.log" 2>&1 &
keeper=$!
extra_pids+=("$keeper")

say "times, transactions, appends from two mounts"
times_are_right "$mnt/ahead"
transactions_work "$mnt/ahead-moves"
second_mount "$scratch/other"
for i in $(seq 20); do
  echo "$i" >>"$mnt/log"
  echo "$i" >>"$scratch/other/log"
done
[ "$(wc -l <"$scratch/other/log")" = 40 ] || die "$(wc -l <"$scratch/other/log") lines of 40"

say "a node more"
add_local
has_state "$(id_of 4)" up 120

wait "$keeper" || { cat "$scratch/kept.log"; die "unlinked files that are open"; }

say "decades behind"
restart_wrong -19700d
await_leading
named "behind"
times_are_right "$mnt/behind"
transactions_work "$mnt/behind-moves"

say "right again"
pid=$(node_pid 2)
kill -9 "$pid"
ended "$pid" 10
restart_ring
wait_healthy
times_are_right "$mnt/right"
transactions_work "$mnt/right-moves"

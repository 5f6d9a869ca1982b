#!/bin/bash
# One node's disk hangs, is slow, or gives read errors: no operation fails, health names the node and is ok afterwards.
#   disk_trouble.sh BUILD [ROUNDS]      rounds of 24 creates in 24 directories in each kind of trouble: 5
# The library disk_trouble.so (tests/chaos/disk_trouble.cpp) reads the fault of a node's files from a file beside them.
source "$(dirname "$0")/../posix/lib.sh"
rounds=${2:-5}
directories=24
preload=$build/tests/disk_trouble.so
[ -f "$preload" ] || die "no $preload"

# trouble NODE ORDER; well NODE.
trouble() { echo "$2" >"$state/nodes/$1/data/trouble"; }
well() { rm "$state/nodes/$1/data/trouble"; }

# create_rounds NAME: none may fail; prints the longest.
create_rounds() {
  python3 - "$mnt" "$1" "$rounds" "$directories" <<'PYTHON'
import os, sys, threading, time
mnt, name, rounds, directories = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
failed, longest = [], []
def create(path):
    begin = time.monotonic()
    try:
        with open(path, "x") as file:
            file.write(path)
    except OSError as error:
        failed.append("%s: %s" % (path, error))
    longest.append(time.monotonic() - begin)
for number in range(rounds):
    longest.clear()
    threads = [threading.Thread(target=create, args=("%s/d%d/%s-%d" % (mnt, d, name, number),)) for d in range(directories)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    print("   round %d: the longest create took %.3f s" % (number + 1, max(longest)))
    for d in range(directories):
        path = "%s/d%d/%s-%d" % (mnt, d, name, number)
        if not any(one.startswith(path + ":") for one in failed) and open(path).read() != path: failed.append(path + ": other contents")
sys.exit("\n".join(failed) if failed else 0)
PYTHON
}

# led_by NODE: how many partitions it leads.
led_by() { "$ringfs" ring --state "$state" --output json | jq --arg id "$(id_of "$1")" '[.[] | select(.leader == $id)] | length'; }

# says TEXT SECONDS: waits until .ring/status has a remark with this text.
says() {
  for _ in $(seq $((2 * $2))); do
    grep -qF "$1" "$mnt/.ring/status" && return
    sleep 0.5
  done
  cat "$mnt/.ring/status"
  die "nobody says '$1' after $2 s"
}

# busy_until COMMAND...: creates files until the command succeeds, at most two minutes.
busy_until() {
  local number=0
  until "$@"; do
    number=$((number + 1))
    [ $number -le 600 ] || die "not true after $number creates: $*"
    echo x >"$mnt/d$((number % directories))/busy-$number-$SECONDS" || die "a create failed"
    sleep 0.2
  done
}
leads_nothing() { [ "$(led_by "$1")" -eq 0 ]; }
leads_something() { [ "$(led_by "$1")" -gt 0 ]; }
status_says() { grep -qF "$1" "$mnt/.ring/status"; }
is_ok() { [ "$(health)" = ok ]; }

LD_PRELOAD=$preload start_ring 3
wait_healthy
mkdir "$mnt"/d{0..23}
address_of() { jq -r --argjson number "$1" '.nodes[] | select(.number == $number) | .rpc' "$state/ring.json"; }

for node in 2 3; do
  say "the disk of node $node hangs"
  busy_until leads_something "$node"
  trouble "$node" "hang"
  create_rounds "hang-$node"
  leads_nothing "$node" || die "it still leads $(led_by "$node") partitions"
  says "The disk of node $(address_of "$node") has not answered" 5
  [ "$(health)" = degraded ] || die "health is '$(health)'"
  timeout 3 cat "$mnt/.ring/events" >"$scratch/events" || true  # the file never ends
  grep -q "disk_hangs" "$scratch/events" || die "no event says so"
  well "$node"
  wait_healthy
done

say "the disk of node 1 hangs, reads as well"
trouble 1 "hang all"
create_rounds hang-all
well 1
wait_healthy

say "the disk of node 2 is slow: 300 ms a sync"
busy_until leads_something 2
trouble 2 "slow 300"
create_rounds slow
busy_until status_says "The disk of node $(address_of 2) is much slower"
busy_until leads_nothing 2
create_rounds slow-and-known
well 2
busy_until is_ok

say "the disk of node 3 gives read errors"
trouble 3 eio
create_rounds eio
for number in $(seq "$rounds"); do
  for directory in "$mnt"/d*; do ls "$directory" >/dev/null || die "a directory cannot be read"; done
done
well 3
# A replica that met a read error is damaged and replaced, or its node has ended.
"$ringfs" down --state "$state" >/dev/null
LD_PRELOAD=$preload restart_ring
wait_healthy

say "a ring whose disk hangs goes down all the same"
trouble 1 hang
echo x >"$mnt/d0/last"
begin=$SECONDS
"$ringfs" down --state "$state" >"$scratch/down.log" 2>&1 || true  # it has to kill that node
cat "$scratch/down.log"
grep -q "was killed" "$scratch/down.log" || die "the disk did not hang"
echo "   after $((SECONDS - begin)) s"
! pgrep -f -- "$state/nodes" >/dev/null || die "a node is left"
well 1
restart_ring
[ "$(cat "$mnt/d0/last")" = x ] || die "lost"

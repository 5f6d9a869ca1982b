#!/bin/bash
# Bad input gets a clear error that names the cause; nothing crashes, nothing leaks.
source "$(dirname "$0")/lib.sh"

# expect TEXT COMMAND...: fails and says TEXT.
expect() {
  local text=$1
  shift
  expect_failure timeout 60 "$@" >/dev/null
  grep -qi -- "$text" "$expected" || die "'$*' does not say '$text': $(cat "$expected")"
}

say "command lines"
expect "MOUNTPOINT is required" "$ringfs" up
expect "--nodes: Value 0 not in range 1 to" "$ringfs" up --nodes 0 "$mnt"
expect "--nodes: Value x not in range 1 to" "$ringfs" up --nodes x "$mnt"
expect "no command 'nonsense'" "$ringfs" nonsense
expect "--rpc-port: Value 99999 not in range" "$ringfs" up --state "$state" --rpc-port 99999 --rest-port 0 "$mnt"
expect "--rest-port: Value 99999 not in range" "$ringfs" up --state "$state" --rpc-port 0 --rest-port 99999 "$mnt"
expect "$scratch/missing does not exist" "$ringfs" up --state "$state" --rpc-port 0 --rest-port 0 "$scratch/missing"
[ ! -e "$state" ] || die "a refused 'up' left $state"
expect "'127.0.0.1:99999' is not host:port" "$ringfs" mount 127.0.0.1:99999 "$mnt"
expect "0.0.0.0:0: without TLS only loopback" "$ringfs_node" --data "$scratch/n" --listen 0.0.0.0:0 --rest 127.0.0.1:0
expect "'nonsense' is not host:port" "$ringfs_node" --data "$scratch/n" --listen nonsense --rest 127.0.0.1:0
expect "'127.0.0.1:99999' is not host:port" "$ringfs_node" --data "$scratch/n" --listen 127.0.0.1:0 --rest 127.0.0.1:99999

say "rings that nobody can reach"
# Each tries for half a minute, so they run in parallel.
dead=127.0.0.1:1
attempts=()
refused="connection_refused: $dead: connection refused"
try() {
  expect "$@" &
  attempts+=($!)
}
try "no node of the ring answers: $refused" "$ringfs" mount "$dead" "$mnt"
try "no node of the ring answers: $refused" "$ringfs" status --node "$dead"
try "no node of the ring answers: $refused" "$ringfs" members --node "$dead"
try "no node of the ring answers: $refused" "$ringfs" ring --node "$dead"
try "no node of the ring answers: $refused" "$ringfs" lookup kv/x --node "$dead"
try "no node of the ring answers: $refused" "$ringfs" wait --timeout 5 --node "$dead"
try "$dead: connection refused" "$ringfs" create "$dead"
expect "there is no ring in $scratch/none" "$ringfs" status --state "$scratch/none"
for attempt in "${attempts[@]}"; do wait "$attempt" || die "see above: a command whose ring nobody can reach"; done

start_ring 3
rpc=$("$ringfs" members --state "$state" --output json | jq -r '.[0].address')
rest=$("$ringfs" members --state "$state" --output json | jq -r '.[0].rest')
pids="$(node_pid 1) $(node_pid 2) $(node_pid 3) $(mount_pid)"

say "the other port"
mkdir "$scratch/wrong"
expect "no node of the ring answers: .*$rest" "$ringfs" mount "$rest" "$scratch/wrong" &
attempt=$!
expect "no node of the ring answers: .*$rest" "$ringfs" status --node "$rest" --timeout 10
wait "$attempt" || die "see above: mount of a port that speaks HTTP"
curl -s --max-time 20 -o "$scratch/body" "http://$rpc/v1/ring" && die "the RPC port speaks HTTP: $(cat "$scratch/body")"

say "a port in use, a directory in use"
expect "in use" "$ringfs_node" --data "$scratch/n1" --listen "$rpc" --rest 127.0.0.1:0
expect "in use" "$ringfs_node" --data "$scratch/n2" --listen 127.0.0.1:0 --rest "$rest"
expect "in use" "$ringfs_node" --data "$state/nodes/1/data" --listen 127.0.0.1:0 --rest 127.0.0.1:0

say "databases that are not ours, newer, damaged"
mkdir -p "$scratch/foreign" "$scratch/newer" "$scratch/damaged"
sqlite3 "$scratch/foreign/ringfs.db" "create table t(a)"
expect "$scratch/foreign/ringfs.db is not a RingFS database" "$ringfs_node" --data "$scratch/foreign" --listen 127.0.0.1:0 --rest 127.0.0.1:0

# start_node DIRECTORY: a lone node; returns when it is ready or has ended. Sets node.
start_node() {
  local data=$1
  "$ringfs_node" --data "$data" --listen 127.0.0.1:0 --rest 127.0.0.1:0 >"$data.out" 2>&1 &
  node=$!
  extra_pids+=("$node")
  for _ in $(seq 600); do
    grep -q '^ready ' "$data.out" && return
    runs_program "$node" "$ringfs_node" || return 0
    sleep 0.1
  done
  die "neither ready nor ended after a minute: $(cat "$data.out")"
}
# stop_node DIRECTORY: the process must end by itself, with exit code 0.
stop_node() {
  local status=0
  kill -TERM "$node" 2>/dev/null || true
  wait "$node" || status=$?
  [ $status -eq 0 ] || die "the node of $1 ended with $status: $(cat "$1.out")"
}

start_node "$scratch/newer"
stop_node "$scratch/newer"
grep -q '^ready ' "$scratch/newer.out" || die "no ready line: $(cat "$scratch/newer.out")"
sqlite3 "$scratch/newer/ringfs.db" "pragma user_version = 9999"
rm "$scratch/newer/ringfs.db-first"  # a newer program renews it before it changes the format (docs/disk-format.md)
expect "9999" "$ringfs_node" --data "$scratch/newer" --listen 127.0.0.1:0 --rest 127.0.0.1:0
head -c 100000 /dev/urandom >"$scratch/damaged/ringfs.db"
expect "$scratch/damaged/ringfs.db is \(not a RingFS database\|damaged\)" "$ringfs_node" --data "$scratch/damaged" --listen 127.0.0.1:0 --rest 127.0.0.1:0

say "real databases, damaged"
# A node of a ring of its own, with data.
head -c 8M /dev/urandom >"$mnt/contents"
for i in $(seq 200); do head -c 8K /dev/urandom >"$mnt/small-$i"; done
"$ringfs" down --state "$state" >/dev/null
cp -r "$state/nodes/1/data" "$scratch/real"
[ "$(stat -c %s "$scratch/real/ringfs.db")" -ge 1000000 ] || die "the database is only $(stat -c %s "$scratch/real/ringfs.db") bytes"

# The node ends with an error that names the file, or starts, stops cleanly and logs the problem; it never ends by a signal.
damaged() {
  local data=$1 what=$2 status=0
  start_node "$data"
  if grep -q '^ready ' "$data.out"; then
    stop_node "$data"
    say "$what: started"
    grep -qi "damaged\|corrupt\|checksum\|malformed" "$data.out" || die "$what: started without a word: $(cat "$data.out")"
  else
    wait "$node" || status=$?
    [ $status -ne 0 ] && [ $status -lt 128 ] || die "$what: ended with $status: $(cat "$data.out")"
    grep -q "$data/ringfs\." "$data.out" || die "$what: the error does not name the file: $(cat "$data.out")"
    say "$what: $(grep "$data/ringfs\." "$data.out" | head -1)"
  fi
}
cp -r "$scratch/real" "$scratch/cut"
truncate -s "$(($(stat -c %s "$scratch/real/ringfs.db") / 2))" "$scratch/cut/ringfs.db"
damaged "$scratch/cut" "cut in the middle"
cp -r "$scratch/real" "$scratch/without"
rm "$scratch/without/ringfs.payloads"
damaged "$scratch/without" "without its payloads"
[ ! -e "$scratch/without/ringfs.payloads" ] || die "a file of payloads was made in place of the one that was lost"
for seed in 1 2 3 4; do
  cp -r "$scratch/real" "$scratch/flipped-$seed"
  python3 - "$scratch/flipped-$seed/ringfs.db" "$seed" <<'END'
import random, sys
name, seed = sys.argv[1], int(sys.argv[2])
generator = random.Random(seed)
with open(name, "r+b") as file:
    file.seek(0, 2)
    pages = file.tell() // 4096
    # The first page with its magic stays for odd seeds: SQLite then takes it for a database.
    for page in generator.sample(range(seed % 2, pages), pages // 4):
        place = page * 4096 + generator.randrange(4096)
        file.seek(place)
        byte = file.read(1)[0]
        file.seek(place)
        file.write(bytes([byte ^ (1 << generator.randrange(8))]))
END
  damaged "$scratch/flipped-$seed" "bytes flipped, $seed"
done
restart_ring
wait_healthy
pids="$(node_pid 1) $(node_pid 2) $(node_pid 3) $(mount_pid)"

descriptors() { for pid in $pids; do ls /proc/"$pid"/fd | wc -l; done | awk '{ sum += $1 } END { print sum }'; }
resident() { for pid in $pids; do awk '/^VmRSS:/ { print $2 }' "/proc/$pid/status"; done | tr '\n' ' '; }

say "junk on the RPC and REST ports"
# First everything that stays allocated: every node, as a client of the ring, connects to the other two at its first request to them
# (64 keys lie on all three), and allocates its buffers. From then on nothing may leak.
for gateway in $("$ringfs" members --state "$state" --output json | jq -r '.[].rest'); do
  for i in $(seq 64); do
    curl -sf --max-time 40 -X PUT -d x "http://$gateway/v1/kv/warm-$i" || die "$gateway does not store a key"
  done
done
python3 "$here/programs/junk.py" "$rpc" "$rest" 100
before=$(descriptors)
resident_before=$(resident)
python3 "$here/programs/junk.py" "$rpc" "$rest" 2000 slow
resident_after=$(resident)
say "resident kB of nodes and mount: $resident_before before 2,000 junk connections, $resident_after after"
paste <(tr ' ' '\n' <<<"$resident_before") <(tr ' ' '\n' <<<"$resident_after") | awk '$2 - $1 > 32768 { exit 1 }' || die "memory grew"

say "REST errors"
url=http://$rest/v1/kv
code() { curl -s -o "$scratch/body" -w '%{http_code}' --max-time 40 "$@"; }
expect_code() { local want=$1; shift; local got; got=$(code "$@"); [ "$got" = "$want" ] || die "$* gave $got, not $want: $(cat "$scratch/body")"; }
expect_code 404 "$url/missing"
jq -e .reason "$scratch/body" >/dev/null || die "no JSON reason"
expect_code 400 "$url/"
expect_code 400 "$url/%zz"
head -c 1048577 /dev/zero >"$scratch/big"
expect_code 413 -T "$scratch/big" "$url/big"
head -c 1048576 /dev/urandom >"$scratch/just"
expect_code 204 -T "$scratch/just" "$url/just"
curl -s "$url/just" | cmp - "$scratch/just"
expect_code 414 -X PUT -d x "$url/$(head -c 2100 /dev/zero | tr '\0' a)"
expect_code 405 -X POST -d x "$url/key"
expect_code 404 "http://$rest/nothing"
expect_code 204 -X PUT -d one -H 'If-None-Match: *' "$url/once"
expect_code 412 -X PUT -d two -H 'If-None-Match: *' "$url/once"
expect_code 412 -X PUT -d two -H 'If-Match: "1"' "$url/once"
tag=$(curl -s -D - -o /dev/null "$url/once" | tr -d '\r' | sed -n 's/^ETag: //Ip')
expect_code 304 -H "If-None-Match: $tag" "$url/once"
expect_code 204 -X PUT -d two -H "If-Match: $tag" "$url/once"
expect_code 204 -X DELETE "$url/once"
expect_code 404 -X DELETE "$url/once"

say "names and files"
name=$(head -c 256 /dev/zero | tr '\0' n)
expect "too long" touch "$mnt/$name"
expect "permission denied\|not permitted" mkdir "$mnt/.ring/new"
expect "no such" cat "$mnt/.ring/nonsense"
expect "not permitted\|busy" rm -r "$mnt/.ring"

say "nothing died, nothing leaked"
for pid in $(node_pid 1) $(node_pid 2) $(node_pid 3); do runs_program "$pid" "$ringfs_node" || die "node process $pid died"; done
runs_program "$(mount_pid)" "$ringfs" || die "the mount process died"
[ "$pids" = "$(node_pid 1) $(node_pid 2) $(node_pid 3) $(mount_pid)" ] || die "other processes than before"
for _ in $(seq 150); do
  after=$(descriptors)
  [ "$after" -le "$before" ] && break
  sleep 0.2
done
[ "$after" -le "$before" ] || die "descriptors: $before before, $after after"
echo fine >"$mnt/fine"
[ "$(cat "$mnt/fine")" = fine ] || die "does not serve any more"

#!/bin/bash
# Bad input gets a clear error that names the cause; nothing crashes, nothing leaks.
source "$(dirname "$0")/lib.sh"

# expect TEXT COMMAND...: fails and says TEXT.
expect() {
  local text=$1
  shift
  expect_failure timeout 60 "$@" >/dev/null
  grep -qi -- "$text" "$scratch/expected.out" || die "'$*' does not say '$text': $(cat "$scratch/expected.out")"
}

say "command lines"
expect "required" "$ringfs" up
expect "nodes" "$ringfs" up --nodes 0 "$mnt"
expect "nodes" "$ringfs" up --nodes x "$mnt"
expect "" "$ringfs" nonsense
expect "no such\|not a directory\|does not exist" "$ringfs" up --state "$state" --rpc-port 0 --rest-port 0 "$scratch/missing"
expect "refused\|reach\|answer" "$ringfs" mount 127.0.0.1:1 "$mnt"
expect "address\|port" "$ringfs" mount 127.0.0.1:99999 "$mnt"
expect "loopback\|TLS" "$ringfs_node" --data "$scratch/n" --listen 0.0.0.0:0 --rest 127.0.0.1:0
expect "address\|port" "$ringfs_node" --data "$scratch/n" --listen nonsense --rest 127.0.0.1:0

start_ring 3
rpc=$("$ringfs" members --state "$state" --output json | jq -r '.[0].address')
rest=$("$ringfs" members --state "$state" --output json | jq -r '.[0].rest')
pids="$(node_pid 1) $(node_pid 2) $(node_pid 3) $(mount_pid)"

say "a port in use, a directory in use"
expect "in use" "$ringfs_node" --data "$scratch/n1" --listen "$rpc" --rest 127.0.0.1:0
expect "in use" "$ringfs_node" --data "$scratch/n2" --listen 127.0.0.1:0 --rest "$rest"
expect "in use" "$ringfs_node" --data "$state/nodes/1/data" --listen 127.0.0.1:0 --rest 127.0.0.1:0

say "databases that are not ours, newer, damaged"
mkdir -p "$scratch/foreign" "$scratch/newer" "$scratch/damaged"
sqlite3 "$scratch/foreign/ringfs.db" "create table t(a)"
expect "not a RingFS database" "$ringfs_node" --data "$scratch/foreign" --listen 127.0.0.1:0 --rest 127.0.0.1:0
timeout -s TERM 3 "$ringfs_node" --data "$scratch/newer" --listen 127.0.0.1:0 --rest 127.0.0.1:0 >/dev/null 2>&1 || true
sqlite3 "$scratch/newer/ringfs.db" "pragma user_version = 9999"
expect "9999" "$ringfs_node" --data "$scratch/newer" --listen 127.0.0.1:0 --rest 127.0.0.1:0
head -c 100000 /dev/urandom >"$scratch/damaged/ringfs.db"
expect "not a RingFS database\|not a database\|damaged" "$ringfs_node" --data "$scratch/damaged" --listen 127.0.0.1:0 --rest 127.0.0.1:0

say "junk on the RPC and REST ports"
before=$(for pid in $pids; do ls /proc/"$pid"/fd | wc -l; done | awk "{ sum += \$1 } END { print sum }")
python3 "$here/junk.py" "$rpc" "$rest"

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
for pid in $pids; do kill -0 "$pid" || die "process $pid died"; done
sleep 1
after=$(for pid in $pids; do ls /proc/"$pid"/fd | wc -l; done | awk "{ sum += \$1 } END { print sum }")
[ "$after" -le $((before + 20)) ] || die "descriptors: $before before, $after after"
echo fine >"$mnt/fine"
[ "$(cat "$mnt/fine")" = fine ] || die "does not serve any more"

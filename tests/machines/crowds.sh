#!/bin/bash
# shellcheck disable=SC2034,SC2154 # variables of the scripts that are sourced, and for them
# 2,000 connections to a node that say nothing, before their handshakes and after them: a mount works on, a node that starts again
# and a new client get in from other addresses, and the node closes what it does not know.
#   crowds.sh BUILD
set -eu -o pipefail
build=$1
source "$(dirname "$0")/lib.sh" "$@"
count=2000
ulimit -n 8192
start_ring
make_machine E
start_load

crowd() {
  rm -f "$RINGFS_LAB/E/ready"
  # Without another process between: a signal is for it.
  nsenter --net=/run/netns/E python3 "$tests/machines/crowd.py" "$subnet.1:4001" $count "$RINGFS_LAB/E/ready" "$@" &
  crowd=$!
  until [ -s "$RINGFS_LAB/E/ready" ]; do
    kill -0 $crowd 2>/dev/null || die "the crowd has ended"
    sleep 0.1
  done
}
# from_e: how many connections of E the node on A has, with those that it has not accepted yet.
from_e() { nsenter --net=/run/netns/A ss -Htan src $subnet.1:4001 dst $subnet.5 | awk '$1 != "TIME-WAIT"' | wc -l; }
none() { [ "$(from_e)" = 0 ]; }
descriptors() { ls "/proc/${node[A]}/fd" | wc -l; }
memory() { awk '/^VmRSS:/ { print int($2 / 1024) }' "/proc/${node[A]}/status"; }

say "$count connections without a handshake, $(memory) MiB"
before=$(descriptors)
crowd
sleep 3
say "$(descriptors) descriptors, $before before"
[ "$(descriptors)" -le $((before + 32)) ] || die "the node on A keeps connections of somebody whom it does not know"
say "$(memory) MiB; B starts again meanwhile, and somebody mounts from D"
kill -9 "${node[B]}"
wait "${node[B]}" || true
start_node B ringfs-node --data data --listen $subnet.2:4001
# B speaks with A, over connections of its own.
connected() { nsenter --net=/run/netns/B ss -Htn state established dst $subnet.1:4001 | grep -q .; }
until_true 20 "B has no connection to A" connected
until_true 60 "the ring is not well" healthy
on A ringfs token create --role reader >"$RINGFS_LAB/D/token-reader"
on D env HOME="$RINGFS_LAB/D/other" ringfs clients join $subnet.1:4001 --token-file token-reader --name other
kill -0 $crowd || die "the crowd has ended"
kill $crowd
wait $crowd || true
until_true 20 "the node on A keeps connections of nobody" none

say "$count connections of a client of the ring"
on A ringfs token create --role reader >"$RINGFS_LAB/E/token"
on E ringfs clients join $nodes --token-file token --name e
crowd "$(dirname "$(ls "$RINGFS_LAB"/E/home/.config/ringfs/*/key.pem)")"
[ "$(from_e)" -ge $count ] || die "the node on A has $(from_e) connections of E"
say "$(memory) MiB"
sleep 5
kill -0 $crowd || die "the crowd has ended"
healthy || die "the ring is not well"
kill $crowd
wait $crowd || true
until_true 20 "the node on A keeps connections of nobody" none
say "$(memory) MiB"
end_load

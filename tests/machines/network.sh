#!/bin/bash
# shellcheck disable=SC2034,SC2154 # variables of the scripts that are sourced, and for them
# What happens to networks, under a mount that works on: a cable pulled, packets of one direction or one pair lost, small and
# large frames, a machine that comes back under another address. No operation fails.
#   network.sh BUILD
set -eu -o pipefail
build=$1
source "$(dirname "$0")/lib.sh" "$@"
start_ring
start_load

say "C's cable is pulled, and plugged in again"
ip link set portC down
sleep 5
ip link set portC up
until_true 60 "the ring is not well after the cable" healthy

say "what B sends to C is lost, nothing else"
# ip rule(8) of C: packets from B go nowhere.
ip -n C rule add from $subnet.2 blackhole
sleep 5
ip -n C rule del from $subnet.2 blackhole
until_true 60 "the ring is not well after packets of one direction were lost" healthy

say "A and C do not hear each other"
ip -n C rule add from $subnet.1 blackhole
ip -n A rule add from $subnet.3 blackhole
sleep 5
ip -n C rule del from $subnet.1 blackhole
ip -n A rule del from $subnet.3 blackhole
until_true 60 "the ring is not well after one pair was apart" healthy

for mtu in 576 9000 1500; do
  say "frames of $mtu bytes"
  for machine in A B C D; do
    ip link set port$machine mtu $mtu
    ip -n $machine link set eth0 mtu $mtu
  done
  dd if=/dev/urandom of="$RINGFS_LAB/random" bs=1M count=8 status=none
  cp "$RINGFS_LAB/random" "$mnt/mtu$mtu"
  cmp "$RINGFS_LAB/random" "$mnt/mtu$mtu" || die "wrong bytes with frames of $mtu bytes"
done

say "C comes back under another address"
kill "${node[C]}"
wait "${node[C]}" || die "the node on C did not end well"
ip -n C address flush dev eth0 scope global
ip -n C address add $subnet.33/24 dev eth0
start_node C ringfs-node --data data --listen $subnet.33:4001
until_true 60 "the ring is not well after C has another address" healthy
on D ringfs members --node $nodes | grep -q "$subnet.33:4001" || die "the new address is not in the members table"
end_load

#!/bin/bash
# shellcheck disable=SC2034,SC2046,SC2154 # lists of words; variables of the scripts that are sourced, and for them
# Machines with wrong clocks: five minutes make no difference, with two days certificates do not count yet, and both sides say
# that a clock is wrong. A node whose certificate has expired renews it.
#   clocks.sh BUILD
set -eu -o pipefail
build=$1
source "$(dirname "$0")/lib.sh" "$@"
faketime=$(ls /usr/lib/*/faketime/libfaketimeMT.so.1 2>/dev/null | head -n 1)
[ -n "$faketime" ] || { echo "the package faketime is not installed" >&2; exit 1; }
start_ring
make_machine E

# What comes before a command whose clock shall be wrong.
clock() { echo "env LD_PRELOAD=$faketime FAKETIME_DONT_FAKE_MONOTONIC=1 FAKETIME=$1"; }

say "a machine whose clock is five minutes behind joins, mounts and writes"
on A ringfs token create --role writer >"$RINGFS_LAB/E/token"
mkdir "$RINGFS_LAB/E/mnt"
on E $(clock -5m) ringfs mount $nodes mnt --token-file token --name e
echo "from the past" >"$RINGFS_LAB/E/mnt/e"
[ "$(cat "$mnt/e")" = "from the past" ] || die "what it wrote is not there"
on E ringfs umount mnt

say "one whose clock is two days behind is told that a clock is wrong"
on A ringfs token create --role writer >"$RINGFS_LAB/E/token"
rm -r "$RINGFS_LAB/E/home"
mkdir "$RINGFS_LAB/E/home"
refused "one of the two clocks is wrong" on E $(clock -2d) ringfs clients join $nodes --token-file token --name f

say "and a node whose clock is two days behind, too"
on A ringfs token create --role node >"$RINGFS_LAB/E/token"
refused "one of the two clocks is wrong" on E $(clock -2d) ringfs-node --data data --listen $subnet.5:4001 \
  --join $subnet.1:4001 --token-file token

say "four months later every certificate has expired: nodes and mounts renew theirs"
on D ringfs umount mnt
for machine in A B C; do
  kill "${node[$machine]}"
  wait "${node[$machine]}" || die "the node on $machine did not end well"
done
for machine in A B C; do
  start_node $machine $(clock +120d) ringfs-node --data data --listen "$subnet.$(number_of $machine):4001"
done
renewed() { [ "$(cat "$RINGFS_LAB"/[ABC]/node.log | grep -c event=own_certificate_renewed)" -ge 3 ]; }
until_true 60 "not all nodes have renewed their certificates" renewed
on D $(clock +120d) ringfs mount $nodes mnt
[ "$(cat "$mnt/e")" = "from the past" ] || die "what was written four months ago is not there"

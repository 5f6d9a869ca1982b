#!/bin/bash
# shellcheck disable=SC2034,SC2154 # variables of the scripts that are sourced, and for them
# Nodes that are advertised by name: one moves to another address while its name still has the former one, then has none, then has
# the new one. The ring goes on, and finds it again.
#   names.sh BUILD
set -eu -o pipefail
build=$1
source "$(dirname "$0")/lib.sh" "$@"

# All machines look into the same file.
echo "127.0.0.1 localhost" >"$RINGFS_LAB/hosts"
mount --bind "$RINGFS_LAB/hosts" /etc/hosts
name() { echo "$1 $2" >>"$RINGFS_LAB/hosts"; }
# Changed in place: it is a mount.
forget() { grep -v " $1\$" "$RINGFS_LAB/hosts" >"$RINGFS_LAB/hosts.new" || true; cat "$RINGFS_LAB/hosts.new" >"$RINGFS_LAB/hosts"; }

for machine in A B C D; do make_machine $machine; done
nodes=a.ring:4001,b.ring:4001,c.ring:4001
for machine in a b c; do name "$subnet.$(number_of ${machine^})" $machine.ring; done
start_node A ringfs-node --data data --listen $subnet.1:4001 --advertise a.ring --create
for machine in B C; do
  on A ringfs token create --role node >"$RINGFS_LAB/$machine/token"
  start_node $machine ringfs-node --data data --listen "$subnet.$(number_of $machine):4001" --advertise ${machine,}.ring \
    --join a.ring:4001 --token-file token
done
mount_on D d
mnt=$RINGFS_LAB/D/mnt
on D ringfs wait --node $nodes --timeout 120
start_load

say "C moves, and its name still has its former address"
kill "${node[C]}"
wait "${node[C]}" || die "the node on C did not end well"
ip -n C address flush dev eth0 scope global
ip -n C address add $subnet.33/24 dev eth0
start_node C ringfs-node --data data --listen $subnet.33:4001 --advertise c.ring
sleep 3

say "its name has no address"
forget c.ring
refused "c.ring" on D ringfs status --node c.ring:4001 --timeout 5
sleep 3

say "its name has the new address"
name $subnet.33 c.ring
until_true 60 "the ring is not well after the name had the new address" healthy
on D ringfs status --node c.ring:4001
# connected MACHINE: it has dialled C at its new address.
connected() { nsenter --net="/run/netns/$1" ss -Htn state established dst $subnet.33:4001 | grep -q .; }
for machine in A B D; do until_true 30 "$machine has not dialled C at its new address" connected $machine; done

say "nobody has a name: what is connected goes on"
for machine in a b c; do forget $machine.ring; done
sleep 3
end_load

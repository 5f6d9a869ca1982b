#!/bin/bash
# shellcheck disable=SC2034,SC2154 # variables of the scripts that are sourced, and for them
# A ring that was made with plain loopback nodes moves to TLS, node by node, under a mount that works on: nodes that crash
# meanwhile, and one that is down when the authority is made. Strangers get in at no time. Then it grows over several machines.
#   move.sh BUILD
set -eu -o pipefail
build=$1
source "$(dirname "$0")/lib.sh" "$@"
for machine in A B C D; do make_machine $machine; done
stranger=47110 # a user that this machine does not have

# Three processes on the machine A, each with a directory of its own.
for number in 1 2 3; do
  mkdir -p "$RINGFS_LAB/A$number/home"
  : >/run/netns/A$number
  mount --bind /run/netns/A /run/netns/A$number
done
start_plain() { start_node "A$1" ringfs-node --data data --listen "127.0.0.1:400$1" --rest "127.0.0.1:300$1"; }
# The one documented command. B's cable leads there as well.
start_moved() {
  start_node "A$1" env ${2:+"$2"} ringfs-node --data data --listen "$subnet.1:400$1" --rest "$subnet.1:300$1"
}
stop() {
  kill "${node[$1]}"
  wait "${node[$1]}" || die "the node on $1 did not end well"
}
crash() {
  kill -9 "${node[$1]}"
  wait "${node[$1]}" 2>/dev/null || true
}
logged() { grep -q "event=$2" "$RINGFS_LAB/$1/node.log"; }
address_is() { on A ringfs members --node "$at" --output json 2>/dev/null | jq -e --arg a "$1" 'any(.[]; .address == $a)' >/dev/null; }

# Whoever connects and is nobody: plain text, over TLS without a certificate, and another user of the machine A.
mkdir "$RINGFS_LAB/programs"
cp "$build/bin/ringfs" "$build/bin/ringfs-node" "$RINGFS_LAB/programs"
chmod 755 "$RINGFS_LAB" "$RINGFS_LAB/programs"
strangers_are_refused() {
  refused "get in with a token" on D ringfs members --node "$subnet.1:4001" --timeout 5
  refused "of user" on A setpriv --reuid $stranger --regid $stranger --clear-groups "$RINGFS_LAB/programs/ringfs" \
    authority create --node "$subnet.1:4001" --timeout 5
  on D /usr/bin/python3 - "$subnet.1" <<'PYTHON' || die "plain text on the new address was answered"
import socket, sys
stranger = socket.create_connection((sys.argv[1], 4001), timeout=20)
stranger.sendall(b"a handshake that is none" * 100)
try:
    said = stranger.recv(4096)
except ConnectionResetError:
    said = b""
# At most a TLS alert (record type 21).
sys.exit(0 if said in (b"",) or said[0] == 21 else 1)
PYTHON
}

say "a plain ring on A, with a mount and its load"
for number in 1 2 3; do start_plain $number; done
at=127.0.0.1:4001,127.0.0.1:4002,127.0.0.1:4003
on A ringfs create 127.0.0.1:4001 127.0.0.1:4002 127.0.0.1:4003
mkdir "$RINGFS_LAB/A/mnt"
on A ringfs mount $at mnt --log-file mount.log
mnt=$RINGFS_LAB/A/mnt
start_load
refused "ringfs authority create" on A ringfs token create --role node --node $at
refused "of user" on A setpriv --reuid $stranger --regid $stranger --clear-groups "$RINGFS_LAB/programs/ringfs" \
  authority create --node 127.0.0.1:4001 --timeout 5

say "the authority is made while the third node is down; the others get their certificates where they run"
crash A3
on A ringfs authority create --node $at
key=$(on A ringfs authority show --node $at --output json | jq -r '.[0].key')
on A ringfs authority create --node $at
[ "$(on A ringfs authority show --node $at --output json | jq -r '.[].key')" = "$key" ] || die "there is another authority"
for number in 1 2; do until_true 30 "node $number has no certificate" logged A$number own_certificate_taken; done

say "the first one moves, and crashes; it is not announced while the third one has no certificate"
stop A1
start_moved 1
crash A1
start_moved 1
strangers_are_refused
address_is 127.0.0.1:4001 || die "a member was announced at an address that others have no certificate for"

say "the third one moves in one step; it gets its certificate while it runs"
start_moved 3
until_true 30 "the third node has no certificate" logged A3 own_certificate_taken
for number in 1 3; do until_true 60 "the new address of node $number is not announced" address_is $subnet.1:400$number; done
served() { [ "$(on D curl -sk https://$subnet.1:3003/healthz | jq -r .health)" = ok ]; }
until_true 30 "REST over TLS" served
if logged A1 all_members_have_moved; then die "the former address went before all had moved"; fi

say "the second one, which is still plain, dials the others by TLS where it has no UNIX socket"
stop A2
start_node A2 env RINGFS_TEST_LOCAL_SOCKETS=off ringfs-node --data data --listen 127.0.0.1:4002 --rest 127.0.0.1:3002
dialled() { grep -q "event=peer_connected .*address=$subnet.1:400[13]" "$RINGFS_LAB/A2/node.log"; }
until_true 60 "the plain node has not reached the others by TLS" dialled

say "the second one moves, and all former addresses go"
stop A2
start_moved 2
nodes=$subnet.1:4001,$subnet.1:4002,$subnet.1:4003
at=$nodes
for number in 1 2 3; do until_true 60 "node $number still serves its former address" logged A$number all_members_have_moved; done
until_true 60 "the new address of node 2 is not announced" address_is $subnet.1:4002
if on A ss -Hltn | grep -q "127.0.0.1:400"; then die "somebody listens at a former address"; fi
strangers_are_refused
end_load

say "all of them crash and come back"
for number in 1 2 3; do crash A$number; done
for number in 1 2 3; do start_moved $number; done
well() { on A ringfs status --node $at >/dev/null 2>&1; }
until_true 60 "the ring is not well after it started again" well
python3 "$load" verify "$mnt/load" "$RINGFS_LAB/records"
on A ringfs umount mnt

say "a mount on D gets in with a token, a node on B joins, and the third one's disk is carried to C"
on A ringfs token create --role node >"$RINGFS_LAB/B/token"
on A ringfs token create --role writer >"$RINGFS_LAB/D/token"
mkdir "$RINGFS_LAB/D/mnt"
on D ringfs mount $nodes mnt --token-file token --name d --log-file mount.log
start_node B ringfs-node --data data --listen $subnet.2:4001 --join $nodes --token-file token
stop A3
mv "$RINGFS_LAB/A3/data" "$RINGFS_LAB/C/data"
start_node C ringfs-node --data data --listen $subnet.3:4001
until_true 60 "the address on C is not announced" address_is $subnet.3:4001
on D ringfs wait --node $nodes --timeout 120
until_true 60 "the ring is not well on three machines" healthy
python3 "$load" verify "$RINGFS_LAB/D/mnt/load" "$RINGFS_LAB/records"

#!/bin/bash
# shellcheck disable=SC2034,SC2154 # variables of the scripts that are sourced, and for them
# Certificates under a mount that works on: another authority, a client that is revoked, a node that is removed, tokens that
# are used up, of another ring, revoked. No operation of the others fails.
#   trust.sh BUILD
set -eu -o pipefail
build=$1
source "$(dirname "$0")/lib.sh" "$@"
start_ring
make_machine E

say "tokens"
on A ringfs token create --role reader --note "for nobody" >"$RINGFS_LAB/E/token"
id=$(on A ringfs token list --output json | jq -r '.[] | select(.note == "for nobody") | .id')
on A ringfs token revoke "$id"
refused "does not know this token" on E ringfs clients join $subnet.1:4001 --token-file token --name other
refused "as often as it may be used" on E ringfs clients join $subnet.1:4001 --token-file ../D/token --name other
refused "lets nodes in, not clients" on E ringfs clients join $subnet.1:4001 --token-file ../B/token --name other
echo "ringfs1.nonsense" >"$RINGFS_LAB/E/nonsense"
refused "not a token" on E ringfs clients join $subnet.1:4001 --token-file nonsense --name other

mount_on E e
start_load

say "another authority signs"
renewed() { [ "$(cat "$RINGFS_LAB"/[ABC]/node.log | grep -c event=own_certificate_renewed)" -ge "$1" ]; }
on A ringfs authority rotate
until_true 30 "not all nodes have renewed their certificates" renewed 3
client_renewed() { grep -q event=certificate_renewed "$RINGFS_LAB/D/mount.log"; }
until_true 30 "the mount on D has not renewed its certificate" client_renewed
on A ringfs authority show
on A ringfs authority finish --now
on A ringfs authority show
[ "$(on A ringfs authority show --output json | jq length)" = 1 ] || die "the former authority is still there"

say "a client is revoked"
echo before >"$RINGFS_LAB/E/mnt/by-e"
on A ringfs clients revoke e
sleep 1
if echo after 2>/dev/null >"$RINGFS_LAB/E/mnt/by-e-too"; then die "a revoked client writes a second later"; fi
on A ringfs clients list

say "a node is removed"
on A ringfs token create --role node >"$RINGFS_LAB/E/token"
start_node E ringfs-node --data data --listen $subnet.5:4001 --join $subnet.1:4001 --token-file token
on D ringfs wait --node $nodes --timeout 120
id=$(on D ringfs members --node $nodes --output json | jq -r ".[] | select(.address == \"$subnet.3:4001\") | .id")
on A ringfs token create --role admin >"$RINGFS_LAB/A/token"
on A ringfs clients join $nodes --token-file token --name operator
on A ringfs remove "$id" --node $nodes
gone() { ! kill -0 "${node[C]}" 2>/dev/null; }
until_true 60 "the removed node still runs" gone
wait "${node[C]}" || die "the removed node did not end well"
end_load

#!/bin/bash
# shellcheck disable=SC2034,SC2154 # variables of the scripts that are sourced, and for them
# What a mount with the role reader may, also when a transaction's client died; what a node that is cut off still answers; with
# which codes nodes end that are not let in.
#   roles.sh BUILD
set -eu -o pipefail
build=$1
source "$(dirname "$0")/lib.sh" "$@"
start_ring
make_machine E

say "a reader reads, and changes nothing"
echo before >"$mnt/file"
on A ringfs token create --role reader >"$RINGFS_LAB/E/token"
mkdir "$RINGFS_LAB/E/mnt"
on E ringfs mount $nodes mnt --token-file token --name e --log-file mount.log
[ "$(cat "$RINGFS_LAB/E/mnt/file")" = before ] || die "a reader does not read"
refused "Permission denied" cp /dev/null "$RINGFS_LAB/E/mnt/other"
[ ! -e "$mnt/other" ] || die "a reader made a file"

say "the root's row is held by a client that died"
[ "$(on D "$build/tests/hold_rows" $nodes)" = held ] || die "it is not held"
[ "$(timeout 60 cat "$RINGFS_LAB/E/mnt/file")" = before ] || die "a reader does not pass a dead client's lock"
timeout 60 stat "$RINGFS_LAB/E/mnt" >/dev/null || die "nor stat the root"
# The root can be changed when the client counts as dead.
taken_for_dead() { timeout 60 ls "$RINGFS_LAB/E/mnt" >/dev/null && timeout 5 chmod 0711 "$mnt" 2>/dev/null; }
until_true 60 "the dead client's lock stays" taken_for_dead
[ "$(stat -c %a "$RINGFS_LAB/E/mnt")" = 711 ] || die "the reader does not see the change"

say "nodes that are not let in"
ends_with() {
  local code=$1 words=$2 status=0
  shift 2
  on E timeout 100 ringfs-node --data other --listen $subnet.5:4001 "$@" >"$RINGFS_LAB/said" 2>&1 || status=$?
  [ $status = "$code" ] || { cat "$RINGFS_LAB/said"; die "it ended with $status"; }
  grep -qF "$words" "$RINGFS_LAB/said" || { cat "$RINGFS_LAB/said"; die "other words than '$words'"; }
}
ends_with 9 "as often as it may be used" --join $subnet.1:4001 --token-file ../B/token
on A ringfs token create --role node >"$RINGFS_LAB/E/token"
ends_with 10 "Connection refused" --join $subnet.1:4999 --token-file token

say "a node that is cut off"
for machine in B C; do ip link set port$machine down; done
cut_off() { on D ringfs status --node $subnet.1:4001 --timeout 3 >"$RINGFS_LAB/said" 2>&1; grep -q "has not heard from the ring" "$RINGFS_LAB/said"; }
until_true 60 "A answers other machines although it does not hear the ring" cut_off
on A ringfs status --node $subnet.1:4001 >"$RINGFS_LAB/said" || [ $? = 3 ] || die "A does not answer its own machine: $(cat "$RINGFS_LAB/said")"
grep -q "nodes do not answer" "$RINGFS_LAB/said" || die "A does not say that the others are silent: $(cat "$RINGFS_LAB/said")"
for machine in B C; do ip link set port$machine up; done
until_true 60 "the ring is not well after the cut" healthy
[ "$(cat "$RINGFS_LAB/E/mnt/file")" = before ] || die "the reader does not read any more"

say "a removed node, and the authority that it knew"
on A ringfs token create --role admin >"$RINGFS_LAB/A/token"
on A ringfs clients join $nodes --token-file token --name operator
advised() { on D ringfs status --node $nodes >"$RINGFS_LAB/status" 2>/dev/null; grep -q "ringfs authority rotate" "$RINGFS_LAB/status"; }
! advised || die "advice before anything was removed: $(cat "$RINGFS_LAB/status")"
on A ringfs remove $subnet.3:4001 --force --node $nodes
gone() { ! kill -0 "${node[C]}" 2>/dev/null; }
until_true 60 "the removed node still runs" gone
wait "${node[C]}" || die "the removed node did not end with 0, so systemd would start it again"
until_true 30 "nobody advises to replace the authority" advised
(cd "$RINGFS_LAB/C" && on C timeout 60 ringfs-node --data data --listen $subnet.3:4001) || die "the removed node, started again, did not end with 0"
on A ringfs authority rotate
until_true 30 "the advice stays" eval '! advised'

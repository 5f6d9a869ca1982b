#!/bin/bash
# shellcheck disable=SC2034,SC2046,SC2154 # lists of words; variables of the scripts that are sourced, and for them
# Certificates are to be renewed, and the partition of the authority has no majority: nodes and mounts go on, health says so, and
# the renewal happens when the majority is back.
#   renewal.sh BUILD
set -eu -o pipefail
build=$1
source "$(dirname "$0")/lib.sh" "$@"
faketime=$(ls /usr/lib/*/faketime/libfaketimeMT.so.1 2>/dev/null | head -n 1)
[ -n "$faketime" ] || { echo "the package faketime is not installed" >&2; exit 1; }
# Two thirds of 90 days are over, but not all.
later="env LD_PRELOAD=$faketime FAKETIME_DONT_FAKE_MONOTONIC=1 FAKETIME=+70d"
partition_of_key() { echo $((16#$(printf '%s' "$1" | sha256sum | cut -c1-2))); }
address_of() { echo "$subnet.$(number_of "$1"):4001"; }

start_ring
members=(A B C)
add_machine() {
  make_machine "$1"
  on A ringfs token create --role node >"$RINGFS_LAB/$1/token"
  start_node "$1" ringfs-node --data data --listen "$(address_of "$1")" --join $subnet.1:4001 --token-file token
  members+=("$1")
  on D ringfs wait --node $nodes --timeout 120
}

# Two nodes without which the authority's partition has no majority, while those of the members table and of the root directory
# have one. With the next machine the partitions lie elsewhere.
two_nodes() {
  on D ringfs ring --node $nodes --output json | python3 -c '
import itertools, json, sys
groups = {group["partition"]: set(group["replicas"]) for group in json.load(sys.stdin)}
authority, *others = map(int, sys.argv[1:])
for pair in itertools.combinations(sorted(groups[authority]), 2):
    if all(len(groups[other] & set(pair)) < 2 for other in others):
        print(*pair)
        break' "$(partition_of_key ring/authority)" "$(partition_of_key ring/members)" 0
}
gone=
for machine in E F G H I; do
  add_machine $machine
  gone=$(two_nodes)
  [ -z "$gone" ] || break
done
[ -n "$gone" ] || die "of ${#members[@]} nodes no two are as they are wanted"

files=40
mkdir "$mnt/files"
for number in $(seq $files); do echo "$number" >"$mnt/files/$number"; done
on D ringfs umount mnt
for machine in "${members[@]}"; do
  kill "${node[$machine]}"
  wait "${node[$machine]}" || die "the node on $machine did not end well"
done

say "70 days later, two nodes do not come back"
machines_gone=()
machines_left=()
for machine in "${members[@]}"; do
  id=$(sed -n 's/^ready node=\([^ ]*\) .*/\1/p' "$RINGFS_LAB/$machine/ready")
  if [[ " $gone " == *" $id "* ]]; then machines_gone+=("$machine"); else machines_left+=("$machine"); fi
done
[ ${#machines_gone[@]} = 2 ] || die "not two nodes: ${machines_gone[*]}"
for machine in "${machines_left[@]}"; do
  start_node $machine $later ringfs-node --data data --listen "$(address_of $machine)"
done
nodes=$(for machine in "${machines_left[@]}"; do address_of $machine; done | paste -sd,)
on D $later ringfs mount $nodes mnt -o op_timeout=3 --log-file mount.log
not_renewed() { grep -q event=own_certificate_not_renewed "$RINGFS_LAB/$1/node.log"; }
for machine in "${machines_left[@]}"; do until_true 60 "$machine has renewed its certificate" not_renewed $machine; done
grep -q event=certificate_not_renewed "$RINGFS_LAB/D/mount.log" || die "the mount does not say that its certificate is not renewed"
says_so() { grep -q "its certificate could not be renewed" "$mnt/.ring/status"; }
until_true 30 "health does not say that certificates are not renewed" says_so
cat "$mnt/.ring/status"

say "what has a majority goes on"
read_files=0
for number in $(seq $files); do
  [ "$(cat "$mnt/files/$number" 2>/dev/null)" = "$number" ] || continue
  read_files=$((read_files + 1))
  [ $read_files -lt 5 ] || break
done
[ $read_files -ge 5 ] || die "only $read_files files can be read"

say "they come back, and certificates are renewed"
for machine in "${machines_gone[@]}"; do
  start_node $machine $later ringfs-node --data data --listen "$(address_of $machine)"
done
renewed() { grep -q event=own_certificate_renewed "$RINGFS_LAB/$1/node.log"; }
for machine in "${members[@]}"; do until_true 60 "$machine has not renewed its certificate" renewed $machine; done
client_renewed() { grep -q event=certificate_renewed "$RINGFS_LAB/D/mount.log"; }
until_true 90 "the mount has not renewed its certificate" client_renewed
well() { [ "$(head -n 1 "$mnt/.ring/health")" = ok ]; }
until_true 60 "health is not ok" well
for number in $(seq $files); do
  [ "$(cat "$mnt/files/$number")" = "$number" ] || die "file $number is wrong"
done

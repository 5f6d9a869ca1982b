#!/bin/bash
# A ring over three machines, mounted on a fourth one. The machines are network namespaces of this machine, joined by a bridge: each has its
# own addresses, its own loopback and its own users' credentials, and what they send to each other crosses the bridge, encrypted.
#   three-machines.sh [BUILD] [--check]
# Types what docs/deploy.md says, copies a tree, cuts one machine off, goes on, and brings it back. --check also looks at each step's result,
# and at every byte that crossed the bridge. Needs root and a built tree (examples/quickstart.sh builds it). Leaves nothing behind.
set -eu -o pipefail
here=$(cd "$(dirname "$0")" && pwd)
build=$here/../build/release
check=
for argument in "$@"; do
  case $argument in
    --check) check=yes ;;
    -*) echo "usage: three-machines.sh [BUILD] [--check]" >&2; exit 2 ;;
    *) build=$argument ;;
  esac
done
build=$(realpath "$build")
source "$here/machines.sh" "$@"
began=$SECONDS
for machine in A B C D; do make_machine $machine; done

if [ -n "$check" ]; then
  # Every frame that crosses the bridge: it passes them on to itself, too.
  ip link set bridge promisc on
  python3 "$here/../tests/support/capture.py" bridge "$RINGFS_LAB/capture" &
  capture=$!
  until [ -e "$RINGFS_LAB/capture" ]; do sleep 0.05; done
fi

# ---- What docs/deploy.md says ----------------------------------------------------------------------------------
start_node A ringfs-node --data data --listen $subnet.1:4001 --create
on A ringfs token create --role node --uses 2 >"$RINGFS_LAB/token"
cp "$RINGFS_LAB/token" "$RINGFS_LAB/B/token"
cp "$RINGFS_LAB/token" "$RINGFS_LAB/C/token"
start_node B ringfs-node --data data --listen $subnet.2:4001 --join $subnet.1:4001 --token-file token
start_node C ringfs-node --data data --listen $subnet.3:4001 --join $subnet.1:4001 --token-file token
on A ringfs token create --role writer >"$RINGFS_LAB/D/token"
mkdir "$RINGFS_LAB/D/mnt"
on D ringfs mount $subnet.1:4001,$subnet.2:4001,$subnet.3:4001 mnt --token-file token
echo "mounted after $((SECONDS - began)) s" >&2

mnt=$RINGFS_LAB/D/mnt
on D ringfs wait --node $subnet.1:4001
on D ringfs members --node $subnet.1:4001
tree=$here/../docs
cp -r "$tree" "$mnt/documents-of-ringfs"
diff -r "$tree" "$mnt/documents-of-ringfs" || die "the copy differs"
echo "a-secret-of-this-ring" >"$mnt/a-name-that-nobody-may-see"

echo "-- C's cable is pulled" >&2
ip link set portC down
echo "written while C was away" >"$mnt/later"
cat "$mnt/a-name-that-nobody-may-see" "$mnt/later"
ip link set portC up
echo "-- and plugged in again" >&2
deadline=$((SECONDS + 60))
until on D ringfs status --node $subnet.1:4001 >"$RINGFS_LAB/status" 2>/dev/null; do
  [ $SECONDS -lt $deadline ] || die "the ring is not well a minute later: $(cat "$RINGFS_LAB/status")"
  sleep 0.2
done
cat "$RINGFS_LAB/status"

if [ -n "$check" ]; then
  on D ringfs umount mnt
  on D ringfs mount $subnet.3:4001,$subnet.2:4001 mnt
  [ "$(cat "$mnt/later")" = "written while C was away" ] || die "what was written while C was away is lost"
  diff -r "$tree" "$mnt/documents-of-ringfs" || die "the copy differs after a new mount"
  on A ringfs clients list
  kill $capture
  wait $capture || true
  [ "$(stat -c %s "$RINGFS_LAB/capture")" -gt "$(du -sb "$tree" | cut -f1)" ] || die "the capture does not have the copied tree"
  for word in a-secret-of-this-ring a-name-that-nobody-may-see documents-of-ringfs "written while C was away" life-of-a-write.md \
      "$(cut -c1-60 "$RINGFS_LAB/token")" "$(cut -d. -f3 "$RINGFS_LAB/token")" "$(cut -d. -f3 "$RINGFS_LAB/D/token")"; do
    if grep -aqF -- "$word" "$RINGFS_LAB/capture"; then die "'$word' crossed the bridge in plain text"; fi
  done
  echo "nothing crossed the bridge in plain text" >&2
fi
on D ringfs umount mnt
echo "done after $((SECONDS - began)) s" >&2

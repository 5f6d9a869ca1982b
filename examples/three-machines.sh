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
[ "$(id -u)" = 0 ] || { echo "three-machines.sh: needs root, to make network namespaces" >&2; exit 1; }
[ -x "$build/bin/ringfs-node" ] || { echo "three-machines.sh: no programs in $build/bin: build them first" >&2; exit 1; }
if [ -z "${RINGFS_LAB:-}" ]; then
  RINGFS_LAB=$(mktemp -d /tmp/ringfs-machines-XXXXXX) || exit 1
  export RINGFS_LAB
  trap 'rm -rf --one-file-system "$RINGFS_LAB"' EXIT
  # Everything that starts in here ends with it, and so do its mounts and namespaces.
  unshare --net --mount --pid --fork --mount-proc --kill-child "$0" "$build" ${check:+--check}
  exit
fi

export PATH=$build/bin:$PATH
subnet=10.11.12
began=$SECONDS
die() { echo "three-machines.sh: $*" >&2; for log in "$RINGFS_LAB"/?/node.log; do tail -n 15 "$log" >&2; done; exit 1; }

# ---- Machines: A, B, C with an address each, and D ---------------------------------------------------------------------------------------
mkdir -p /run/netns
mount -t tmpfs tmpfs /run/netns
ip link add bridge type bridge
ip link set bridge up
number=0
for machine in A B C D; do
  number=$((number + 1))
  mkdir -p "$RINGFS_LAB/$machine/home"
  ip netns add $machine
  ip link add port$machine type veth peer name eth0 netns $machine
  ip link set port$machine master bridge up
  ip -n $machine address add $subnet.$number/24 dev eth0
  ip -n $machine link set eth0 up
  ip -n $machine link set lo up
done

# on MACHINE COMMAND...: as somebody types it there.
on() {
  local machine=$1
  shift
  echo "$machine\$ $*" >&2
  (cd "$RINGFS_LAB/$machine" && HOME=$RINGFS_LAB/$machine/home exec nsenter --net=/run/netns/"$machine" "$@")
}

# start_node MACHINE OPTIONS...: in the background; returns when it is ready.
start_node() {
  local machine=$1 deadline=$((SECONDS + 30))
  on "$@" >"$RINGFS_LAB/$machine/ready" 2>"$RINGFS_LAB/$machine/node.log" &
  shift
  echo "$machine\$ $*" >&2
  until grep -q '^ready' "$RINGFS_LAB/$machine/ready"; do
    [ $SECONDS -lt $deadline ] || die "the node on $machine is not ready"
    kill -0 $! 2>/dev/null || die "the node on $machine has ended"
    sleep 0.05
  done
}

if [ -n "$check" ]; then
  # Every frame that crosses the bridge.
  python3 "$here/../tests/support/capture.py" bridge "$RINGFS_LAB/capture" &
  capture=$!
  until [ -e "$RINGFS_LAB/capture" ]; do sleep 0.05; done
fi

# ---- What docs/deploy.md says --------------------------------------------------------------------------------------------------------------
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
cp -r "$here" "$mnt/examples-of-ringfs"
diff -r "$here" "$mnt/examples-of-ringfs" || die "the copy differs"
echo "a-secret-of-this-ring" >"$mnt/a-name-that-nobody-may-see"

echo "-- C's cable is pulled" >&2
ip link set portC down
echo "written while C was away" >"$mnt/later"
cat "$mnt/a-name-that-nobody-may-see" "$mnt/later"
ip link set portC up
echo "-- and plugged in again" >&2
on D ringfs wait --node $subnet.1:4001
on D ringfs status --node $subnet.1:4001

if [ -n "$check" ]; then
  on D ringfs umount mnt
  on D ringfs mount $subnet.3:4001,$subnet.2:4001 mnt
  [ "$(cat "$mnt/later")" = "written while C was away" ] || die "what was written while C was away is lost"
  diff -r "$here" "$mnt/examples-of-ringfs" || die "the copy differs after a new mount"
  on A ringfs clients list
  kill $capture
  wait $capture || true
  [ "$(stat -c %s "$RINGFS_LAB/capture")" -gt 1000000 ] || die "the capture is too small to have the copied tree"
  for word in a-secret-of-this-ring a-name-that-nobody-may-see examples-of-ringfs "written while C was away" three-machines.sh \
      "$(cut -c1-60 "$RINGFS_LAB/token")" "$(cut -d. -f3 "$RINGFS_LAB/token")" "$(cut -d. -f3 "$RINGFS_LAB/D/token")"; do
    if grep -aqF -- "$word" "$RINGFS_LAB/capture"; then die "'$word' crossed the bridge in plain text"; fi
  done
  echo "nothing crossed the bridge in plain text" >&2
fi
on D ringfs umount mnt
echo "done after $((SECONDS - began)) s" >&2

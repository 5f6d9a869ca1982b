# Machines out of network namespaces, for scripts to source: a bridge with a cable to each of them, 10.11.12.1 for the first
# one, fd11::1 as well. Machines have their own addresses, loopback and UNIX sockets, and homes; they share the disk.
#   build=DIRECTORY; source machines.sh "$@"
# The script starts again in network, mount and process namespaces, which end with it, and so does all that it starts.
# Needs root. Sets RINGFS_LAB: a directory, with one below it for each machine; removed at the end.
# shellcheck shell=bash disable=SC2154
[ "$(id -u)" = 0 ] || { echo "${0##*/}: needs root, to make network namespaces" >&2; exit 1; }
[ -x "$build/bin/ringfs-node" ] || { echo "${0##*/}: no programs in $build/bin: build them first" >&2; exit 1; }
if [ -z "${RINGFS_LAB:-}" ]; then
  RINGFS_LAB=$(mktemp -d /var/tmp/ringfs-machines-XXXXXX) || exit 1
  export RINGFS_LAB
  trap 'rm -rf --one-file-system "$RINGFS_LAB"' EXIT
  status=0
  unshare --net --mount --pid --fork --mount-proc --kill-child "$0" "$@" || status=$?
  exit $status
fi
export PATH=$build/bin:$PATH
subnet=10.11.12
die() {
  echo "${0##*/}: $*" >&2
  local log
  for log in "$RINGFS_LAB"/*/node.log "$RINGFS_LAB"/*/mount.log; do
    [ ! -s "$log" ] || { echo "---- the end of $log"; tail -n 12 "$log"; } >&2
  done
  exit 1
}

# Another script of the same lab has made the bridge, and perhaps machines.
if ! ip link show bridge >/dev/null 2>&1; then
  mkdir -p /run/netns
  mount -t tmpfs tmpfs /run/netns
  ip link set lo up
  ip link add bridge type bridge
  ip link set bridge up
fi
mapfile -t machines < <(ls /run/netns)

# make_machine NAME: the next address is its own.
make_machine() {
  local name=$1
  machines+=("$name")
  mkdir -p "$RINGFS_LAB/$name/home"
  ip netns add "$name"
  ip link add "port$name" type veth peer name eth0 netns "$name"
  ip link set "port$name" master bridge up
  ip -n "$name" address add "$subnet.${#machines[@]}/24" dev eth0
  ip -n "$name" -6 address add "fd11::${#machines[@]}/64" dev eth0 nodad
  ip -n "$name" link set eth0 up
  ip -n "$name" link set lo up
}

# on MACHINE COMMAND...: as somebody types it there, in its directory.
on() {
  local machine=$1
  shift
  echo "$machine\$ $*" >&2
  (cd "$RINGFS_LAB/$machine" && HOME=$RINGFS_LAB/$machine/home exec nsenter --net=/run/netns/"$machine" "$@")
}

# start_node MACHINE COMMAND...: in the background; returns when it is ready. Its process is ${node[MACHINE]}.
declare -A node=()
start_node() {
  local machine=$1 deadline=$((SECONDS + 60))
  : >"$RINGFS_LAB/$machine/ready"
  shift
  echo "$machine\$ $*" >&2
  # Without another process between: a signal is for the node.
  (cd "$RINGFS_LAB/$machine" && HOME=$RINGFS_LAB/$machine/home exec nsenter --net=/run/netns/"$machine" "$@") \
    >"$RINGFS_LAB/$machine/ready" 2>>"$RINGFS_LAB/$machine/node.log" &
  node[$machine]=$!
  until grep -q '^ready' "$RINGFS_LAB/$machine/ready"; do
    [ $SECONDS -lt $deadline ] || die "the node on $machine is not ready"
    kill -0 "${node[$machine]}" 2>/dev/null || die "the node on $machine has ended"
    sleep 0.05
  done
}

# Shared by the mounted tests: a scratch ring with its mount, taken down however the test ends.
# shellcheck shell=bash
# Sets: scratch, state, mnt, ringfs, ringfs_node. A test is run as: test.sh BUILD_DIRECTORY
set -eu -o pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
build=$(realpath "$1")
ringfs=$build/bin/ringfs
ringfs_node=$build/bin/ringfs-node
scratch=$(mktemp -d "${TMPDIR:-/tmp}/ringfs-test-XXXXXX")
state=$scratch/state
mnt=$scratch/mnt
mkdir "$mnt"
extra_mounts=()
extra_pids=()

say() { echo "-- $*"; }
die() { echo "FAILED: $*" >&2; exit 1; }

clean_up() {
  local status=$?
  trap - EXIT INT TERM
  set +e
  cd /
  if [ $status -ne 0 ]; then
    echo "---- the end of the logs"
    tail -n 12 "$state"/mount.log "$state"/nodes/*/node.log "$scratch"/*.log 2>/dev/null
  fi
  local mount pid
  for mount in "${extra_mounts[@]}"; do
    "$ringfs" umount "$mount" >/dev/null 2>&1 || fusermount3 -u -z "$mount" 2>/dev/null
  done
  for pid in "${extra_pids[@]}"; do kill -CONT "$pid" 2>/dev/null; kill -9 "$pid" 2>/dev/null; done
  if [ -d "$state/nodes" ]; then
    for pid in $(cat "$state"/nodes/*/node.pid 2>/dev/null | awk '{print $1}'); do kill -CONT "$pid" 2>/dev/null; done
    "$ringfs" down --state "$state" >/dev/null 2>&1
    # Whatever did not end by itself: only what has our scratch directory on its command line.
    for pid in $(pgrep -f -- "$scratch/" || true); do
      [ "$pid" = $$ ] || kill -9 "$pid" 2>/dev/null
    done
  fi
  mountpoint -q "$mnt" 2>/dev/null && fusermount3 -u -z "$mnt" 2>/dev/null
  rm -rf "$scratch"
  exit $status
}
trap clean_up EXIT
trap 'exit 130' INT TERM

# start_ring NODES: a local ring, mounted at $mnt.
start_ring() {
  "$ringfs" up --nodes "$1" --state "$state" --rpc-port 0 --rest-port 0 "$mnt" >"$scratch/up.log" 2>&1 ||
    { cat "$scratch/up.log"; die "ringfs up"; }
  mountpoint -q "$mnt" || die "nothing mounted"
}

restart_ring() {
  "$ringfs" up --state "$state" "$mnt" >"$scratch/up.log" 2>&1 || { cat "$scratch/up.log"; die "ringfs up again"; }
}

node_pid() { awk '{print $1}' "$state/nodes/$1/node.pid"; }
mount_pid() { awk '{print $1}' "$state/mount.pid"; }

# The addresses of all nodes, host:port, comma separated: for a second mount.
addresses() { "$ringfs" members --state "$state" --output json | jq -r '[.[].address] | join(",")'; }

# second_mount DIRECTORY: another mount process of the same ring.
second_mount() {
  mkdir -p "$1"
  extra_mounts+=("$1")
  "$ringfs" mount "$(addresses)" "$1" || die "second mount"
}

# The number (1..N) of the node that leads partition $1.
leader_of() {
  local uuid address port number
  for _ in $(seq 100); do
    uuid=$("$ringfs" ring --state "$state" --output json | jq -r ".[$1].leader // empty") || true
    [ -n "$uuid" ] && break
    sleep 0.1
  done
  [ -n "$uuid" ] || die "partition $1 has no leader"
  number_of "$uuid"
}

# The number of the node with this uuid.
number_of() {
  local number
  for number in $(ls "$state/nodes"); do
    grep -q "$1" "$state/nodes/$number/node.log" && { echo "$number"; return; }
  done
  die "no node has uuid $1"
}

# The partition (of 256) of an object key: the first byte of its SHA-256.
partition_of_key() { echo $((16#$(printf '%s' "$1" | sha256sum | cut -c1-2))); }

health() { cat "$mnt/.ring/health"; }

# wait_healthy: until .ring/health is ok, at most 60 s.
wait_healthy() {
  local state_now=""
  for _ in $(seq 300); do
    state_now=$(health 2>/dev/null) || true
    [ "$state_now" = ok ] && return
    sleep 0.2
  done
  cat "$mnt/.ring/status" || true
  die "health is '$state_now' after a minute"
}

# expect_failure COMMAND...: it must fail, and not by a signal. Prints its output.
expect_failure() {
  local status=0
  "$@" >"$scratch/expected.out" 2>&1 || status=$?
  cat "$scratch/expected.out"
  [ $status -ne 0 ] || die "should have failed: $*"
  [ $status -lt 128 ] || die "died of signal $((status - 128)): $*"
}

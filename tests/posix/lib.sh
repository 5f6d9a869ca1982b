# Shared by the mounted tests: a scratch ring with its mount, which is always taken down at the end.
# shellcheck shell=bash
# Sets: scratch, state, mnt, ringfs, ringfs_node. A test is run as: test.sh BUILD_DIRECTORY
set -eu -o pipefail
# CTest ends a test that takes too long with SIGKILL, and the ring would stay. RINGFS_TEST_LIMIT (seconds, below CTest's own limit)
# ends it by SIGTERM before that: the test runs again below timeout(1), which also ends its child processes.
if [ -n "${RINGFS_TEST_LIMIT:-}" ]; then
  limit=$RINGFS_TEST_LIMIT
  unset RINGFS_TEST_LIMIT
  exec timeout -k 60 "$limit" "$0" "$@"
fi
# shellcheck disable=SC2034 # for the scripts that source this file
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
build=$(realpath "$1")
ringfs=$build/bin/ringfs  # the command: see below
ringfs_program=$ringfs
ringfs_node=$build/bin/ringfs-node
# RINGFS_TEST_MACHINES=yes: each node, and the mount, are on machines of their own, which are network namespaces, and speak TLS. The
# script starts again in namespaces of its own (examples/machines.sh).
if [ -n "${RINGFS_TEST_MACHINES:-}" ]; then
  # shellcheck source=/dev/null # its variables are not those of the scripts
  source "$here/../../examples/machines.sh" "$@"
  export TMPDIR=$RINGFS_LAB RINGFS_BUILD=$build
  chmod 711 "$RINGFS_LAB"  # for tests with other users
  make_machine mount
  ringfs=$here/../machines/ringfs.sh
fi
scratch=$(mktemp -d "${TMPDIR:-/tmp}/ringfs-test-XXXXXX")
state=$scratch/state
mnt=$scratch/mnt
mkdir "$mnt"
extra_mounts=()
extra_pids=()
disk_mounts=()  # file systems in files: unmounted when no process uses them any more

say() { echo "-- $*"; }
die() { echo "FAILED: $*" >&2; exit 1; }

# runs_program PID PROGRAM: the process runs it; it is neither a zombie nor another program with the same process id.
runs_program() {
  local exe
  exe=$(readlink "/proc/$1/exe") || return 1
  [ "${exe% (deleted)}" = "$2" ]  # deleted: rebuilt meanwhile
}
is_ours() { runs_program "$1" "$ringfs_program" || runs_program "$1" "$ringfs_node"; }

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
  # Together with their children: a shell's child would outlive it.
  # shellcheck disable=SC2046 # a list of words
  for pid in "${extra_pids[@]}"; do kill -CONT "$pid" 2>/dev/null; kill -9 "$pid" $(pgrep -P "$pid") 2>/dev/null; done
  # All of this takes less than the minute that timeout(1) leaves.
  for mount in "${extra_mounts[@]}"; do
    timeout 10 "$ringfs" umount "$mount" >/dev/null 2>&1 || fusermount3 -u -z "$mount" 2>/dev/null
  done
  if [ -d "$state/nodes" ]; then
    for pid in $(cat "$state"/nodes/*/node.pid 2>/dev/null | awk '{print $1}'); do is_ours "$pid" && kill -CONT "$pid"; done
    timeout 30 "$ringfs" down --state "$state" >/dev/null 2>&1
  fi
  # Processes that did not end by themselves: our programs with our scratch directory on their command lines.
  for pid in $(pgrep -f -- "$scratch/"); do is_ours "$pid" && kill -9 "$pid"; done
  # Not mountpoint(1): a mount whose process died does not answer it.
  for mount in "$mnt" "${extra_mounts[@]}"; do grep -qF " $mount " /proc/self/mounts && fusermount3 -u -z "$mount"; done
  for mount in "${disk_mounts[@]}"; do
    # A killed process may hold it for a moment.
    for _ in $(seq 50); do
      grep -qF " $mount " /proc/self/mounts || break
      umount "$mount" 2>/dev/null || sleep 0.1
    done
    grep -qF " $mount " /proc/self/mounts && umount -l "$mount"
  done
  rm -rf --one-file-system "$scratch"
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

# on_node NUMBER COMMAND...: on the machine of this node, whose loopback has its REST interface.
on_node() {
  local number=$1
  shift
  if [ -n "${RINGFS_TEST_MACHINES:-}" ]; then nsenter --net="/run/netns/node$number" "$@"; else "$@"; fi
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

# The id of the node that leads partition $1; empty without a leader.
leader_id() {
  "$ringfs" ring --state "$state" --output json | jq -r --argjson p "$1" '.[] | select(.partition == $p) | .leader // empty'
}

# The number (1..N) of the node that leads partition $1.
leader_of() {
  local id=""
  for _ in $(seq 100); do
    id=$(leader_id "$1") || true
    [ -n "$id" ] && break
    sleep 0.1
  done
  [ -n "$id" ] || die "partition $1 has no leader"
  number_of "$id"
}

# The number of the node with this id, and the other way round.
number_of() {
  jq -er --arg id "$1" '.nodes[] | select(.id == $id) | .number' "$state/ring.json" || die "no node has the id $1"
}
id_of() {
  jq -er --argjson number "$1" '.nodes[] | select(.number == $number) | .id' "$state/ring.json" || die "there is no node $1"
}

# The partition (of 256) of an object key: the first byte of its SHA-256.
partition_of_key() { echo $((16#$(printf '%s' "$1" | sha256sum | cut -c1-2))); }

health() { head -n 1 "$mnt/.ring/health"; }

# wait_healthy: waits until .ring/health is ok, at most 60 s.
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

# start_node NAME OPTIONS...: a node process of our own. Sets address and node_process.
start_node() {
  local name=$1
  shift
  : >"$scratch/$name.out"
  "$ringfs_node" --data "$scratch/$name" --listen 127.0.0.1:0 --rest 127.0.0.1:0 "$@" >"$scratch/$name.out" 2>"$scratch/$name.log" &
  node_process=$!
  extra_pids+=("$node_process")
  for _ in $(seq 100); do
    address=$(sed -n 's/^ready .*rpc=\([^ ]*\).*/\1/p' "$scratch/$name.out")
    [ -n "$address" ] && return
    sleep 0.1
  done
  die "node $name does not start"
}

# add_local: adds a node on this machine; returns before its data has moved.
add_local() { "$ringfs" add --local --state "$state" >"$scratch/add.log" 2>&1 || { cat "$scratch/add.log"; die "ringfs add"; }; }

# The state of the node with this id; "" for a removed one.
state_of() { awk -v id="$1" '$1 == id {print $3}' "$mnt/.ring/members"; }

# has_state ID STATE SECONDS
has_state() {
  for _ in $(seq $((5 * $3))); do
    [ "$(state_of "$1")" = "$2" ] && return
    sleep 0.2
  done
  cat "$mnt/.ring/members"
  die "node $1 is '$(state_of "$1")' instead of '$2' after $3 s"
}

# ended PID SECONDS: the node's process ends by itself.
ended() {
  for _ in $(seq $((5 * $2))); do
    runs_program "$1" "$ringfs_node" || return 0
    sleep 0.2
  done
  die "the node's process $1 still runs"
}

# settled SECONDS: waits until no data is moving.
settled() { [ "$(timeout "$1" cat "$mnt/.ring/wait")" = ok ] || { cat "$mnt/.ring/status"; die "still moving"; }; }

# start_load: tests/chaos/load.py on $mnt/load with its records and logs in $scratch and $logs; returns when it runs. Sets loader.
start_load() {
  mkdir "$mnt/load"
  # shellcheck disable=SC2154 # set by the script
  python3 "$load" run "$mnt/load" "$scratch/records" "$logs" >"$scratch/load.log" 2>&1 &
  loader=$!
  extra_pids+=("$loader")
  for _ in $(seq 100); do
    [ -s "$logs/FileReader" ] && return
    sleep 0.1
  done
  die "the load does not begin: $(cat "$scratch/load.log")"
}

# end_load: stops it and prints the durations of the longest operations. Fails when an operation failed or bytes were wrong.
end_load() {
  local failed=""
  touch "$logs/stop"
  wait "$loader" || failed=yes
  cat "$scratch/load.log"
  python3 "$load" longest "$logs" || failed=yes
  python3 "$load" verify "$mnt/load" "$scratch/records" || failed=yes
  [ -z "$failed" ]
}

# expect_failure COMMAND...: it must fail, but not by a signal. Prints its output and keeps it in the file $expected.
expect_failure() {
  local status=0
  expected=$scratch/expected.$BASHPID  # several can run in parallel
  "$@" >"$expected" 2>&1 || status=$?
  cat "$expected"
  [ $status -ne 0 ] || die "should have failed: $*"
  [ $status -lt 128 ] || die "died of signal $((status - 128)): $*"
}

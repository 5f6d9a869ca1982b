#!/bin/bash
# `ringfs` for tests/posix and tests/chaos when each node and the mount have a machine of their own (tests/posix/lib.sh): commands
# run on the mount's machine, which is a client with the role admin. `up` and `add --local` are done here, with nodes that listen
# with TLS; the state directory is that of a local ring, so that `down` and --state work.
#   ringfs.sh COMMAND ...        with RINGFS_LAB and RINGFS_BUILD set
#   ringfs.sh up [--nodes N] --state DIR [--rpc-port 0] [--rest-port 0] MOUNTPOINT
#   ringfs.sh add --local --state DIR
# shellcheck disable=SC2154 # variables of machines.sh
set -eu -o pipefail
export PATH=$RINGFS_BUILD/bin:$PATH HOME=$RINGFS_LAB/mount/home
if [ "${1:-}" != up ] && [ "${1:-} ${2:-}" != "add --local" ]; then exec nsenter --net=/run/netns/mount ringfs "$@"; fi
build=$RINGFS_BUILD
source "$(dirname "$0")/../../examples/machines.sh"

command=$1
nodes=5
state=
mount_point=
shift
while [ $# -gt 0 ]; do
  case $1 in
    --local) ;;
    --nodes) nodes=$2; shift ;;
    --state) state=$2; shift ;;
    --rpc-port | --rest-port) [ "$2" = 0 ] || die "$1 $2"; shift ;;
    -*) die "$1 is not for rings over machines" ;;
    *) mount_point=$1 ;;
  esac
  shift
done
mkdir -p "$state/nodes"
ring=$state/ring.json

declare -A pids=() offsets=()
# record PID FILE: as mount/commands/process.hpp does.
record() { echo "$1 $(sed 's/.*) //' "/proc/$1/stat" | cut -d' ' -f20) $(cat /proc/sys/kernel/random/boot_id)" >"$2"; }

# runs FILE: the process that this file names.
runs() {
  local pid
  [ -s "$1" ] && read -r pid _ <"$1" && [ -n "$(readlink "/proc/$pid/exe")" ]
}

# await_end FILE: threads of a process that was killed may hold its sockets and files for a moment.
await_end() {
  local pid end=$((SECONDS + 10))
  [ -s "$1" ] && read -r pid _ <"$1" || return 0
  while cat "/proc/$pid/task"/*/stat 2>/dev/null | sed 's/.*) //' | grep -qv '^[ZX]'; do
    [ $SECONDS -lt $end ] || die "process $pid was killed but has not ended"
    sleep 0.05
  done
}

# begin NUMBER ADDRESS OPTIONS...: a node; ready() waits for it.
begin() {
  local number=$1 address=$2 directory=$state/nodes/$1
  shift 2
  await_end "$directory/node.pid"
  mkdir -p "$directory/data"
  offsets[$number]=$(stat -c %s "$directory/node.log" 2>/dev/null || echo 0)
  # Without another process between: the pid file names the node.
  setsid nsenter --net="/run/netns/node$number" ringfs-node --data "$directory/data" --listen "$address" --rest 127.0.0.1:3000 \
    --log-file "$directory/node.log" "$@" </dev/null >>"$directory/node.log" 2>&1 &
  pids[$number]=$!
  record $! "$directory/node.pid"
}

# ready NUMBER: waits for its ready line. Fails when the node ended because it was removed from the ring. Sets id.
ready() {
  local number=$1 log=$state/nodes/$1/node.log end=$((SECONDS + 60)) from status=0
  while :; do
    from=${offsets[$number]}
    [ "$(stat -c %s "$log" 2>/dev/null || echo 0)" -ge "$from" ] || from=0  # a new log was begun
    id=$(tail -c +$((from + 1)) "$log" | sed -n 's/^ready node=\([^ ]*\) .*/\1/p' | head -n 1)
    [ -z "$id" ] || return 0
    if ! kill -0 "${pids[$number]}" 2>/dev/null; then
      wait "${pids[$number]}" || status=$?
      [ $status -ne 0 ] || return 1
      die "node $number ended with $status: $(tail -n 3 "$log")"
    fi
    [ $SECONDS -lt $end ] || die "node $number is not ready after a minute: $(tail -n 3 "$log")"
    sleep 0.02
  done
}

# entry NUMBER ADDRESS ID: a node of ring.json.
entry() { jq -n --argjson number "$1" --arg rpc "$2" --arg id "$3" '{number: $number, rpc: $rpc, rest: "127.0.0.1:3000", id: $id}'; }
change_ring() {
  jq "$@" "$ring" >"$ring.new"
  mv "$ring.new" "$ring"
}
addresses() { jq -r '[.nodes[].rpc] | join(",")' "$ring"; }

# token ROLE USES: made on the machine of a node that runs.
token() {
  local directory
  for directory in "$state"/nodes/*; do
    runs "$directory/node.pid" || continue
    nsenter --net="/run/netns/node${directory##*/}" ringfs token create --role "$1" --uses "$2" >"$RINGFS_LAB/token" ||
      die "no token"
    return
  done
  die "no node runs"
}

# join NUMBER...: new nodes, each on a new machine, members of the ring when it returns.
join() {
  local number first
  first=$(addresses)
  token node $#
  for number in "$@"; do
    make_machine "node$number"
    new_address[$number]=$subnet.${#machines[@]}:4001
    begin "$number" "${new_address[$number]}" --join "$first" --token-file "$RINGFS_LAB/token"
  done
  for number in "$@"; do
    ready "$number" || die "node $number was not let in"
    change_ring --argjson node "$(entry "$number" "${new_address[$number]}" "$id")" '.nodes += [$node]'
  done
}
declare -A new_address=()

create() {
  make_machine node1
  local address=$subnet.${#machines[@]}:4001
  begin 1 "$address" --create
  ready 1 || die "the first node has ended"
  jq -n --arg mount "$mount_point" --argjson node "$(entry 1 "$address" "$id")" \
    '{format: 1, ring: "00000000-0000-0000-0000-000000000000", created: true, mount_point: $mount, partition_bits: 8,
      replication: 3, nodes: [$node]}' >"$ring"
  # shellcheck disable=SC2046 # numbers
  [ "$nodes" -eq 1 ] || join $(seq 2 "$nodes")
}

restart() {
  local number address
  change_ring --arg mount "$mount_point" '.mount_point = $mount'
  while read -r number address; do
    runs "$state/nodes/$number/node.pid" || begin "$number" "$address"
  done < <(jq -r '.nodes[] | "\(.number) \(.rpc)"' "$ring")
  for number in "${!pids[@]}"; do
    ready "$number" || change_ring --argjson number "$number" 'del(.nodes[] | select(.number == $number))'
  done
}

# The mount, and with its first start the certificate of its machine.
mount_ring() {
  local options=() end=$((SECONDS + 60)) log=$state/mount.log
  if [ ! -d "$HOME/.config/ringfs" ]; then
    token admin 1
    options=(--token-file "$RINGFS_LAB/token" --name mount)
  fi
  setsid nsenter --net=/run/netns/mount ringfs mount --foreground "$(addresses)" "$mount_point" --log-file "$log" \
    -o fsname="$(jq -r '.nodes[0].rpc' "$ring")" "${options[@]}" </dev/null >>"$log" 2>&1 &
  record $! "$state/mount.pid"
  until grep -qF " $mount_point " /proc/self/mounts; do
    kill -0 $! 2>/dev/null || die "the mount has ended: $(tail -n 3 "$log")"
    [ $SECONDS -lt $end ] || die "not mounted after a minute: $(tail -n 3 "$log")"
    sleep 0.02
  done
}

if [ "$command" = add ]; then
  # shellcheck disable=SC2012 # numbers; those of removed nodes, too
  join $(($(ls "$state/nodes" | sort -n | tail -n 1) + 1))
  exit
fi
if [ -e "$ring" ]; then restart; else create; fi
if ! runs "$state/mount.pid" || ! grep -qF " $mount_point " /proc/self/mounts; then
  ! grep -qF " $mount_point " /proc/self/mounts || fusermount3 -u -z "$mount_point"
  mount_ring
fi

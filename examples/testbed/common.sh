# Shared by the testbed's scripts. Sets: root, build, testbed, nodes.
# shellcheck shell=bash
set -eu
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
build=${RINGFS_BUILD:-$root/build/release}
testbed=${TESTBED:-${TMPDIR:-/tmp}/testbed}
nodes=10
# Including nodes that were added since.
added=$(find "$testbed/nodes" -mindepth 1 -maxdepth 1 -type d 2>/dev/null | wc -l)
[ "$added" -le "$nodes" ] || nodes=$added

die() { echo "testbed: $*" >&2; exit 1; }
need() { command -v "$1" >/dev/null || die "needs $1: apt-get install $1"; }

# The REST address of node $1 (1..nodes).
rest_of() { sed -n 's/.* rest=\([^ ]*\).*/\1/p' "$testbed/nodes/$1/ready"; }
rpc_of() { sed -n 's/.* rpc=\([^ ]*\).*/\1/p' "$testbed/nodes/$1/ready"; }
# Whether node $1 runs. A killed process may stay as a zombie, which has no executable, or another program may have its process id.
alive() {
  local exe
  [ -f "$testbed/nodes/$1/pid" ] || return 1
  exe=$(readlink "/proc/$(cat "$testbed/nodes/$1/pid")/exe") || return 1
  exe=${exe% (deleted)}  # rebuilt meanwhile
  [ "${exe##*/}" = ringfs-node ]
}
# A file marks a directory that the testbed made: clean.sh removes no other.
marker=$testbed/.ringfs-testbed
make_testbed() {
  [ -z "$(ls -A "$testbed" 2>/dev/null)" ] || [ -e "$marker" ] || die "$testbed is not empty and not the testbed's: set TESTBED to another directory"
  mkdir -p "$testbed"
  touch "$marker"
}

# launch NUMBER: starts its process on free ports; returns when it listens.
launch() {
  local home=$testbed/nodes/$1
  mkdir -p "$home"
  rm -f "$home/ready"
  "$build/bin/ringfs-node" --data "$home/data" --listen 127.0.0.1:0 --rest 127.0.0.1:0 >"$home/ready" 2>"$home/log" </dev/null &
  echo $! >"$home/pid"
  for _ in $(seq 100); do
    grep -q '^ready ' "$home/ready" 2>/dev/null && return
    alive "$1" || break
    sleep 0.1
  done
  die "node $1 did not start: $(tail -n 3 "$home/log")"
}

# The number of a random living node, other than $1 if given.
random_node() {
  local candidate
  for _ in $(seq 1000); do
    candidate=$((RANDOM % nodes + 1))
    [ "$candidate" = "${1:-0}" ] && continue
    alive "$candidate" && { echo "$candidate"; return; }
  done
  die "no node is alive"
}

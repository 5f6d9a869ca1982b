# Shared by the testbed's scripts. Sets: root, build, testbed, nodes.
# shellcheck shell=bash
set -eu
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
build=${RINGFS_BUILD:-$root/build/release}
testbed=${TESTBED:-${TMPDIR:-/tmp}/testbed}
nodes=10

die() { echo "testbed: $*" >&2; exit 1; }
need() { command -v "$1" >/dev/null || die "needs $1: apt-get install $1"; }

# The REST address of node $1 (1..nodes).
rest_of() { sed -n 's/.* rest=\([^ ]*\).*/\1/p' "$testbed/nodes/$1/ready"; }
rpc_of() { sed -n 's/.* rpc=\([^ ]*\).*/\1/p' "$testbed/nodes/$1/ready"; }
# Killed processes may stay as zombies for a while: they have no executable any more.
alive() { [ -f "$testbed/nodes/$1/pid" ] && readlink "/proc/$(cat "$testbed/nodes/$1/pid")/exe" >/dev/null; }

# A random living node's number, another than $1 if given.
random_node() {
  local candidate
  for _ in $(seq 1000); do
    candidate=$((RANDOM % nodes + 1))
    [ "$candidate" = "${1:-0}" ] && continue
    alive "$candidate" && { echo "$candidate"; return; }
  done
  die "no node is alive"
}

#!/bin/bash
# From a fresh Debian 12 to a mounted ten-node ring: installs packages, builds, starts the ring, mounts it, works on it,
# kills a node, shows that nothing is lost. Idempotent.
#   examples/quickstart.sh [MOUNTPOINT]   leaves the ring mounted (default ~/ringfs)
#   examples/quickstart.sh --check        verifies each step in a scratch directory and takes everything down again
# RINGFS_BUILD=DIRECTORY: uses that build; installs and builds nothing.
set -eu
cd "$(dirname "$0")/.."

check=no
mountpoint=""
case "${1:-}" in
  --check) check=yes ;;
  --help | -h) sed -n '2,7s/^# \{0,1\}//p' "$0"; exit 0 ;;
  -*) echo "quickstart.sh: unknown option $1; see --help" >&2; exit 2 ;;
  *) mountpoint=${1:-} ;;
esac

step() { printf '\n== %s\n' "$*"; }
die() { echo "quickstart.sh: $*" >&2; exit 1; }
# Prints a command and runs it.
show() { printf '$ %s\n' "$*"; "$@"; }

build=${RINGFS_BUILD:-}
if [ -z "$build" ]; then
  build=$PWD/build/release
  step "packages"
  examples/packages.sh build

  step "build (a few minutes the first time)"
  cmake --preset release >/dev/null
  cmake --build --preset release -j "$(nproc)" --target ringfs ringfs-node
fi
ringfs=$build/bin/ringfs
[ -x "$ringfs" ] || die "no build in $build"

if [ "$check" = yes ]; then
  scratch=$(mktemp -d)
  state=$scratch/state
  mountpoint=$scratch/mnt
  ports="--rpc-port 0 --rest-port 0"
  # Always: nothing stays mounted, no process stays, and nothing is removed through a mount.
  clean_up() {
    status=$?
    trap - EXIT
    trap '' INT TERM
    set +e
    if [ $status -ne 0 ]; then
      echo "quickstart.sh: failed; the end of the logs:" >&2
      tail -n 5 "$state"/mount.log "$state"/nodes/*/node.log >&2
    fi
    if [ -d "$state" ] && ! timeout 40 "$ringfs" down --state "$state" >/dev/null 2>&1; then
      for file in "$state"/mount.pid "$state"/nodes/*/node.pid; do
        # The process id may belong to another process by now.
        read -r pid _ <"$file" && runs_ours "$pid" && kill -9 "$pid"
      done 2>/dev/null
    fi
    # Not mountpoint(1): a mount whose process died does not answer it.
    grep -qF " $mountpoint " /proc/self/mounts && fusermount3 -u -z "$mountpoint"
    if grep -qF " $mountpoint " /proc/self/mounts; then
      echo "quickstart.sh: $mountpoint is still mounted; $scratch stays" >&2
      exit 1
    fi
    rm -rf --one-file-system "$scratch"
    exit $status
  }
  # A living process of this build; a zombie has no executable.
  runs_ours() {
    exe=$(readlink "/proc/$1/exe")
    [ "${exe% (deleted)}" = "$(realpath "$build")/bin/ringfs" ] || [ "${exe% (deleted)}" = "$(realpath "$build")/bin/ringfs-node" ]
  }
  trap clean_up EXIT
  trap 'exit 130' INT TERM
else
  state=${RINGFS_STATE:-${XDG_STATE_HOME:-$HOME/.local/state}/ringfs/default}
  mountpoint=${mountpoint:-$HOME/ringfs}
  ports=""
fi
mkdir -p "$mountpoint"

# Waits until .ring/health is ok, at most a minute: a new node has to catch up. `.ring/wait` waits for moving data only.
wait_healthy() {
  for _ in $(seq 300); do
    health=$(head -n 1 "$mountpoint/.ring/health") || health=unknown
    [ "$health" = ok ] && return
    sleep 0.2
  done
  return 1
}

step "a ring of ten nodes, mounted at $mountpoint"
# shellcheck disable=SC2086 # options
show "$ringfs" up --nodes 10 --state "$state" $ports "$mountpoint"
mountpoint -q "$mountpoint" || die "nothing is mounted at $mountpoint"

work=$mountpoint/quickstart
rm -rf "$work"
mkdir "$work"

step "cat and echo"
printf '$ echo hello, ring > %s\n' "$work/hello.txt"
echo "hello, ring" >"$work/hello.txt"
show cat "$work/hello.txt"
[ "$(cat "$work/hello.txt")" = "hello, ring" ] || die "hello.txt reads back wrong"

step "a copied tree"
tree=/usr/share/perl5
[ -d "$tree" ] || tree=/usr/share/doc
show cp -r "$tree" "$work/tree"
show diff -r --no-dereference "$tree" "$work/tree" || die "the copy differs"
echo "$(find "$work/tree" -type f | wc -l) files, no difference"

step "the ring's state"
wait_healthy || die "the ring is $health a minute after it was made"
show cat "$mountpoint/.ring/status"
# The expected status of ten healthy nodes.
if [ "$check" = yes ]; then
  status_text=$(cat "$mountpoint/.ring/status")
  for line in "state ok" "nodes 10" "up 10" "replication 3" "under-replicated 0" "leaderless 0" "moving no"; do
    grep -qx "$line" <<<"$status_text" || die ".ring/status does not say '$line'"
  done
fi

step "a node dies"
read -r victim _ <"$state/nodes/3/node.pid"
show kill -9 "$victim"
show cat "$work/hello.txt"
[ "$(cat "$work/hello.txt")" = "hello, ring" ] || die "hello.txt is lost"
show diff -r --no-dereference "$tree" "$work/tree" || die "files are lost"
echo "still here" >"$work/after.txt"
[ "$(cat "$work/after.txt")" = "still here" ] || die "cannot write with a node down"
show cat "$mountpoint/.ring/health"

step "and comes back"
# shellcheck disable=SC2086 # options
show "$ringfs" up --nodes 10 --state "$state" $ports "$mountpoint"
show cat "$mountpoint/.ring/wait"
wait_healthy || die "the ring is still $health a minute after the node came back"
echo "health: $health"

if [ "$check" = yes ]; then
  step "everything stops; the files stay"
  show "$ringfs" down --state "$state"
  mountpoint -q "$mountpoint" && die "still mounted"
  show "$ringfs" up --state "$state" "$mountpoint"
  diff -r --no-dereference "$tree" "$work/tree" || die "files are lost after a restart"
  pids=$(cat "$state"/mount.pid "$state"/nodes/*/node.pid | cut -d' ' -f1)
  [ "$(wc -w <<<"$pids")" = 11 ] || die "not eleven processes: $pids"
  show "$ringfs" down --state "$state"
  for pid in $pids; do
    runs_ours "$pid" && die "process $pid still runs"
  done
  step "all steps verified"
else
  cat <<END

The ring is yours: $mountpoint
  cat $mountpoint/.ring/members     the nodes
  $ringfs status                    how it is
  $ringfs down                      stop it; the files stay
  $ringfs up --nodes 10 $mountpoint  bring it back
END
fi

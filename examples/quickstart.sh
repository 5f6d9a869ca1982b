#!/bin/bash
# From a fresh Debian 12 to a mounted ten-node ring: installs packages, builds, starts the ring, mounts it, works on it,
# kills a node, shows that nothing is lost. Idempotent.
#   examples/quickstart.sh [MOUNTPOINT]   leaves the ring mounted for you to play with (default ~/ringfs)
#   examples/quickstart.sh --check        verifies each step in a scratch directory and takes everything down again
set -eu
cd "$(dirname "$0")/.."

check=no
mountpoint=""
case "${1:-}" in
  --check) check=yes ;;
  --help | -h) sed -n '2,6s/^# \{0,1\}//p' "$0"; exit 0 ;;
  -*) echo "quickstart.sh: unknown option $1; see --help" >&2; exit 2 ;;
  *) mountpoint=${1:-} ;;
esac

step() { printf '\n== %s\n' "$*"; }
die() { echo "quickstart.sh: $*" >&2; exit 1; }
# Prints a command and runs it.
show() { printf '$ %s\n' "$*"; "$@"; }

step "packages"
examples/packages.sh build

step "build (a few minutes the first time)"
cmake --preset release >/dev/null
cmake --build --preset release -j "$(nproc)" --target ringfs ringfs-node
ringfs=$PWD/build/release/bin/ringfs

if [ "$check" = yes ]; then
  scratch=$(mktemp -d)
  state=$scratch/state
  mountpoint=$scratch/mnt
  ports="--rpc-port 0 --rest-port 0"
  clean_up() {
    status=$?
    "$ringfs" down --state "$state" >/dev/null 2>&1 || true
    if [ $status -ne 0 ]; then
      echo "quickstart.sh: failed; the end of the logs:" >&2
      tail -n 5 "$state"/mount.log "$state"/nodes/*/node.log >&2 || true
    fi
    rm -rf "$scratch"
    exit $status
  }
  trap clean_up EXIT
else
  state=${RINGFS_STATE:-${XDG_STATE_HOME:-$HOME/.local/state}/ringfs/default}
  mountpoint=${mountpoint:-$HOME/ringfs}
  ports=""
fi
mkdir -p "$mountpoint"

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
show cat "$mountpoint/.ring/status"
[ "$(cat "$mountpoint/.ring/health")" = ok ] || show cat "$mountpoint/.ring/wait"

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
[ "$(cat "$mountpoint/.ring/health")" = ok ] || die "the ring is not healthy again"

if [ "$check" = yes ]; then
  step "everything stops; the files stay"
  show "$ringfs" down --state "$state"
  mountpoint -q "$mountpoint" && die "still mounted"
  show "$ringfs" up --state "$state" "$mountpoint"
  diff -r --no-dereference "$tree" "$work/tree" || die "files are lost after a restart"
  show "$ringfs" down --state "$state"
  pgrep -f "ringfs-node --data $state" >/dev/null && die "a node still runs"
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

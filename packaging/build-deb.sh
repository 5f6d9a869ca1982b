#!/bin/bash
# Makes the Debian package: ringfs_VERSION_ARCHITECTURE.deb in OUTPUT (build/deb). Prints its path.
#   packaging/build-deb.sh [--build-dir DIR] [OUTPUT]
# It builds the programs in build/release, or takes those that DIR has already. Needs the packages of
# `examples/packages.sh test`.
set -eu -o pipefail
tree=$(realpath "$(dirname "$0")/..")
build=""
if [ "${1:-}" = --build-dir ]; then
  build=$(realpath -e "${2:?usage: build-deb.sh [--build-dir DIR] [OUTPUT]}")
  shift 2
fi
output=${1:-$tree/build/deb}
case "$output" in -*) echo "usage: build-deb.sh [--build-dir DIR] [OUTPUT]" >&2; exit 2 ;; esac

if [ -z "$build" ]; then
  build=$tree/build/release
  (cd "$tree" && cmake --preset release >/dev/null && cmake --build --preset release --target ringfs ringfs-node >&2)
fi
# A cache without the entry is that of another project.
setting() { sed -n "s/^$1:[A-Z]*=//p" "$build/CMakeCache.txt"; }
[ "$(setting CMAKE_BUILD_TYPE)" = RelWithDebInfo ] && [ -z "$(setting RINGFS_SANITIZE)" ] ||
  { echo "build-deb.sh: $build is not a release build" >&2; exit 1; }

version=$("$build/bin/ringfs" --version | awk '{print $2}')
# The package's times are those of the last commit.
when=$(git -c safe.directory='*' -C "$tree" log -1 --format=%cD)
scratch=$(mktemp -d "${TMPDIR:-/tmp}/ringfs-deb-XXXXXX")
trap 'rm -rf "$scratch"' EXIT
mkdir "$scratch/ringfs"
cp -r "$tree/README.md" "$tree/docs" "$tree/packaging" "$scratch/ringfs"
mv "$scratch/ringfs/packaging/debian" "$scratch/ringfs/debian"
maintainer=$(sed -n 's/^Maintainer: //p' "$tree/packaging/debian/control")
cat >"$scratch/ringfs/debian/changelog" <<END
ringfs ($version) unstable; urgency=medium

  * Version $version. The changes are in /usr/share/doc/ringfs/docs/changelog.md.

 -- $maintainer  $when
END
(cd "$scratch/ringfs" && RINGFS_BUILD=$build dpkg-buildpackage --build=binary --no-sign >"$scratch/log" 2>&1) ||
  { cat "$scratch/log" >&2; exit 1; }
mkdir -p "$output"
package=$(cd "$scratch" && ls ringfs_*.deb)
mv "$scratch/$package" "$output/"
echo "$(realpath "$output")/$package"

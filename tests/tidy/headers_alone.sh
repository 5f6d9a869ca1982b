#!/bin/bash
# Every header compiles alone. Arguments: the source tree, the compiler, a build tree (for generated headers).
# Each by one run of the compiler: a precompiled header would supply what a header forgot. ccache, where there is one, remembers those
# whose headers have not changed.
set -eu
cd "$1"
build=$(realpath "${3:-build/release}")
scratch=$build/headers_alone
mkdir -p "$scratch"
compiler="$(command -v ccache || true) ${2:-g++}"
flags="-std=c++20 -I. -I$build/dht -fsyntax-only -DRINGFS_VERSION=test $(pkg-config --cflags fuse3 sqlite3)"
export compiler flags scratch
# The tree may lie in any directory.
export CCACHE_BASEDIR=$PWD CCACHE_NOHASHDIR=true
export CCACHE_DEPEND=1  # by the list of headers that the compiler writes, without preprocessing each file beforehand
headers=$(find dht fs nodes mount tests -name '*.hpp' | sort)
[ -n "$headers" ] || { echo "no headers in $1"; exit 1; }
xargs -P "$(nproc)" -I{} bash -c '
  file=$scratch/$(echo "{}" | tr / -).cpp
  echo "#include \"{}\"" >"$file"
  $compiler $flags -MD -MF "$file.d" "$file" 2>"$file.errors" || { echo "does not compile alone: {}"; head -5 "$file.errors"; exit 255; }
  rm "$file" "$file.d" "$file.errors"' <<<"$headers"

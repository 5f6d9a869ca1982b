#!/bin/bash
# Every header compiles alone. Arguments: the source tree, the compiler, a build tree (for generated headers).
set -eu
cd "$1"
compiler=${2:-g++}
flags="-std=c++20 -I. -I${3:-build/release}/dht -fsyntax-only -x c++ -DRINGFS_VERSION=\"test\" $(pkg-config --cflags fuse3 sqlite3)"
export compiler flags
find dht fs nodes mount tests -name '*.hpp' | sort | xargs -P "$(nproc)" -I{} bash -c '
  echo "#include \"{}\"" | $compiler $flags - 2>/tmp/headers_alone.$$ || { echo "does not compile alone: {}"; head -5 /tmp/headers_alone.$$; rm -f /tmp/headers_alone.$$; exit 255; }
  rm -f /tmp/headers_alone.$$'

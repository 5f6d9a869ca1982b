#!/bin/bash
# Fails on an include that goes against the layers: mount -> fs, dht; fs -> dht/base; nodes -> dht, fs; dht -> nothing above;
# inside dht: base <- core <- net. Also on fuse headers outside mount/ and sqlite3.h outside the store's files.
set -eu
cd "$1"
status=0

# folder : folders its files may include from
allowed="
dht/base: dht/base
dht/core: dht/base dht/core
dht/net: dht/base dht/core dht/net
fs: dht/base fs
nodes: dht/base dht/core dht/net fs nodes
mount: dht/base dht/core dht/net fs mount
"
while read -r folder rest; do
  [ -n "$folder" ] || continue
  folder=${folder%:}
  pattern=$(echo "$rest" | sed 's/ /|/g')
  bad=$(grep -rnE '#include "(dht|fs|nodes|mount|tests)/' "$folder" --include='*.hpp' --include='*.cpp' |
        grep -vE "#include \"($pattern)/[^/]+\"" || true)
  if [ -n "$bad" ]; then
    echo "includes against the arrows ($folder may include: $rest):"
    echo "$bad"
    status=1
  fi
done <<<"$allowed"

bad=$(grep -rnE '#include [<"]fuse' dht fs nodes tests --include='*.hpp' --include='*.cpp' || true)
[ -z "$bad" ] || { echo "fuse headers outside mount/:"; echo "$bad"; status=1; }
bad=$(grep -rnE '#include [<"]sqlite3' dht fs nodes mount --include='*.hpp' --include='*.cpp' | grep -vE '^nodes/(sqlite|store)_' || true)
[ -z "$bad" ] || { echo "sqlite3.h outside the store (nodes/sqlite_*, nodes/store_*):"; echo "$bad"; status=1; }

# The gateway, the chores (janitor) and the daemon are the only users of fs/ in nodes/.
bad=$(grep -rnE '#include "fs/' nodes --include='*.hpp' --include='*.cpp' | grep -vE '^nodes/(rest_|chores|daemon|main)' || true)
[ -z "$bad" ] || { echo "fs/ included in nodes/ outside gateway and janitor:"; echo "$bad"; status=1; }

# Only known folders and files at the top level.
# As root in somebody else's checkout, git refuses "dubious ownership" unless told.
tracked=$(git -c safe.directory='*' ls-files) || exit 1
[ -n "$tracked" ] || { echo "git lists no files in $1"; exit 1; }
for entry in $(cut -d/ -f1 <<<"$tracked" | sort -u); do
  case "$entry" in
    CMakeLists.txt | CMakePresets.json | dht | nodes | fs | mount | tests | examples | docs | README.md | LICENSE | .*) ;;
    *) echo "unexpected at the top level: $entry"; status=1 ;;
  esac
done
exit $status

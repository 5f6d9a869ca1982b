#!/bin/bash
# Fails on an include that goes against the arrows between folders (docs/architecture.md), on fuse headers outside mount/fuse, on sqlite3.h outside
# nodes/store, and on an unexpected folder or file at the top level.
set -eu
source "$(dirname "$0")/lib.sh"
cd "$1"
status=0

# folder : folders its files may include from. `+` after one: and from those below it.
allowed="
dht/base: dht/base+
dht/core/protocol: dht/base+ dht/core/protocol
dht/core/rows: dht/base+ dht/core/protocol dht/core/rows
dht/core/members: dht/base+ dht/core/protocol dht/core/members
dht/core/chord: dht/base+ dht/core/protocol dht/core/members dht/core/chord
dht/core/raft: dht/base+ dht/core/protocol dht/core/rows dht/core/members dht/core/raft+
dht/core/node: dht/base+ dht/core+
dht/net/wire: dht/base+ dht/core+ dht/net/trust dht/net/wire
dht/net/trust: dht/base+ dht/net/trust
dht/net/sockets: dht/base+ dht/net/sockets
dht/net/transport: dht/base+ dht/core+ dht/net/wire dht/net/trust dht/net/sockets dht/net/transport
dht/net/client: dht/base+ dht/core+ dht/net/wire dht/net/trust dht/net/sockets dht/net/transport dht/net/client
dht/net/runtime: dht/base+ dht/core+ dht/net/wire dht/net/trust dht/net/sockets dht/net/transport dht/net/runtime
fs: dht/base+ fs+
nodes/store/files: dht/base+ dht/core+ nodes/store/files
nodes/store/rows: dht/base+ dht/core+ nodes/store/files nodes/store/rows
nodes/store/repair: dht/base+ dht/core+ dht/net/runtime nodes/store/files nodes/store/rows nodes/store/repair
nodes/store: dht/base+ dht/core+ dht/net/runtime nodes/store+
nodes/rest: dht/base+ dht/core+ dht/net+ fs+ nodes/rest
nodes: dht/base+ dht/core+ dht/net+ fs+ nodes+
mount: dht/base+ dht/core+ dht/net+ fs+ mount+
"
# A rule holds for the files of its folder, and for those below it that have no rule of their own.
rules=$(sed -n 's/^\([a-z/]*\):.*/\1/p' <<<"$allowed")
while read -r folder rest; do
  [ -n "$folder" ] || continue
  folder=${folder%:}
  [ -d "$folder" ] || { echo "a rule for a folder that is not there: $folder"; status=1; continue; }
  others=$(grep "^$folder/" <<<"$rules" | sed 's/$/\//' | paste -sd '|')
  pattern=$(sed -E 's/\+/(\/[a-z]+)*/g; s/ /|/g' <<<"$rest")
  bad=$(grep -rnE '#include "(dht|fs|nodes|mount|tests)/' "$folder" --include='*.hpp' --include='*.cpp' |
        grep -vE "^(${others:-/})" | grep -vE "#include \"($pattern)/[^/]+\"" || true)
  if [ -n "$bad" ]; then
    echo "includes against the arrows ($folder may include: $rest):"
    echo "$bad"
    status=1
  fi
done <<<"$allowed"
# Every folder with sources has a rule.
for folder in $(find dht fs nodes mount -name '*.?pp' -printf '%h\n' | sort -u); do
  covered=no
  for rule in $rules; do
    case "$folder/" in "$rule"/*) covered=yes ;; esac
  done
  [ $covered = yes ] || { echo "no rule for $folder"; status=1; }
done

bad=$(grep -rnE '#include [<"]fuse' dht fs nodes mount tests --include='*.hpp' --include='*.cpp' | grep -v '^mount/fuse/' || true)
[ -z "$bad" ] || { echo "fuse headers outside mount/fuse:"; echo "$bad"; status=1; }
bad=$(grep -rnE '#include [<"]sqlite3' dht fs nodes mount --include='*.hpp' --include='*.cpp' | grep -v '^nodes/store/' || true)
[ -z "$bad" ] || { echo "sqlite3.h outside nodes/store:"; echo "$bad"; status=1; }

# Only known folders and files at the top level.
files=$(tracked)
for entry in $(cut -d/ -f1 <<<"$files" | sort -u); do
  case "$entry" in
    CMakeLists.txt | CMakePresets.json | dht | nodes | fs | mount | tests | examples | docs | packaging | README.md | CONTRIBUTING.md | LICENSE | .*) ;;
    *) echo "unexpected at the top level: $entry"; status=1 ;;
  esac
done
exit $status

#!/bin/bash
# File handles stay valid for ever: at once, without the kernel's cache, after a rename and a remount, on another mount. The handle of a
# removed file is stale.
source "$(dirname "$0")/lib.sh"
start_ring 3
other=$scratch/other
second_mount "$other"
handles() { python3 "$(dirname "$0")/programs/handles.py" "$mnt" "$other" "$1" "$scratch/handles" || die "$1"; }

say "at once, and when the kernel has forgotten them"
handles save
handles check
say "after a rename"
mv "$mnt/handles" "$mnt/renamed"
handles check
say "after a restart of everything"
"$ringfs" umount "$other"
"$ringfs" down --state "$state" >/dev/null
restart_ring
second_mount "$other"
handles check
say "files in .ring"
python3 - "$mnt" "$here/programs" <<'PYTHON'
import os, sys
sys.path.insert(0, sys.argv[2])
import handles
for name in (".ring/status", ".ring/config/replication"):
    handle = handles.handle_of(os.path.join(sys.argv[1], name))
    handles.drop_caches()
    os.close(handles.open_handle(sys.argv[1], handle))
PYTHON
say "removed"
handles gone

#!/bin/bash
# Two mounts remember what they read: a change takes it back first, and nothing old is served, also by one that was frozen.
source "$(dirname "$0")/lib.sh"
start_ring 3
other=$scratch/other
said=$(second_mount "$other")
extra_mounts+=("$other")
reader=$(sed -n 's/^mounted on .* by process \([0-9]*\)$/\1/p' <<<"$said")
[ -n "$reader" ] || die "which process is the second mount? It said: $said"

say "changes of what the other mount remembers, while it runs, is frozen, and is back"
python3 "$here/programs/recalls.py" "$mnt" "$other" "$reader"

say "the second mount counts what was taken back"
recalls=$(sed -n 's/^ringfs_client_recalls_total=//p' "$other/.ring/stats")
[ "${recalls:-0}" -gt 0 ] || die "no recall: $(cat "$other/.ring/stats")"

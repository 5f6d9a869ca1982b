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

say "a mount that ends gives back what it remembers"
# Batches of all nodes that waited until a lease had ended.
ran_out() {
  local sum=0 rest
  for rest in $(jq -r '.nodes[].rest' "$state/ring.json"); do
    sum=$((sum + $(curl -sf "http://$rest/metrics" | sed -n 's/^ringfs_row_lease_ran_out_total \([0-9]*\).*/\1/p')))
  done
  echo "$sum"
}
sleep 2.2  # rows that were changed within two seconds are not remembered
for _ in 1 2 3 4; do cat "$other"/recalls/* >/dev/null; done
before=$(ran_out)
"$ringfs" umount "$other"
for file in "$mnt"/recalls/*; do chmod 0444 "$file"; done
[ "$(ran_out)" = "$before" ] || die "changes waited for a mount that has ended: $before, $(ran_out)"

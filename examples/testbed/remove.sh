#!/bin/bash
# Removes a dead node from the ring, or a living one if none is dead. Returns when its data has moved to the others.
source "$(dirname "$0")/common.sh"
need curl
need jq
member=$(random_node)
members() { curl -sf --max-time 40 "http://$(rest_of "$member")/v1/members" | jq -r '.members[].address'; }
listed=$(members)
victim="" force=""
for number in $(seq "$nodes"); do
  if ! alive "$number" && grep -qx "$(rpc_of "$number")" <<<"$listed"; then victim=$number force="?force=true"; fi
done
[ -n "$victim" ] || victim=$(random_node "$member")
address=$(rpc_of "$victim")
curl -sf --max-time 40 -o /dev/null -X DELETE "http://$(rest_of "$member")/v1/members/$address$force" ||
  die "node $member did not remove node $victim"
for _ in $(seq 600); do
  listed=$(members) && ! grep -qx "$address" <<<"$listed" && ! alive "$victim" && break
  sleep 0.1
done
grep -qx "$address" <<<"$listed" && die "node $victim is still a member after a minute"
alive "$victim" && die "node $victim still runs after a minute"
echo "remove: node $victim is no member any more, its data lies on others${force:+ (it was dead)}"

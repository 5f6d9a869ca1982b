#!/bin/bash
# Starts one more node and makes it a member of the ring; returns when it holds its share of the data.
source "$(dirname "$0")/common.sh"
need curl
need jq
member=$(random_node)
number=$((nodes + 1))
launch "$number"
nodes=$number
address=$(rpc_of "$number")
curl -sf --max-time 40 -o /dev/null -d "{\"address\": \"$address\"}" "http://$(rest_of "$member")/v1/members" ||
  die "node $member did not add $address"
for _ in $(seq 600); do
  state=$(curl -sf --max-time 40 "http://$(rest_of "$member")/v1/members" | jq -r --arg a "$address" '.members[] | select(.address == $a) | .state')
  [ "$state" = up ] && break
  sleep 0.1
done
[ "$state" = up ] || die "node $number is '$state' after a minute"
echo "add: node $number is a member and holds its part"

#!/bin/bash
# Starts the nodes on free ports and makes a ring of them.
source "$(dirname "$0")/common.sh"
[ -x "$build/bin/ringfs-node" ] || die "no build in $build: run examples/quickstart.sh first"
make_testbed
for number in $(seq "$nodes"); do launch "$number"; done
addresses=""
for number in $(seq "$nodes"); do addresses="$addresses $(rpc_of "$number")"; done
# shellcheck disable=SC2086 # a list of words
"$build/bin/ringfs" create $addresses
# The ring serves when every partition has a leader; a node serves when it knows its ring.
for number in $(seq "$nodes"); do
  for _ in $(seq 100); do
    health=$(curl -s "http://$(rest_of "$number")/healthz" | jq -r .health 2>/dev/null || true)
    [ "$health" = ok ] && break
    sleep 0.1
  done
  [ "$health" = ok ] || die "the ring is '$health' for node $number after 10 s"
done
echo "start: $nodes nodes, the ring is $health"

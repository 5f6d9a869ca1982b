#!/bin/bash
# Starts the nodes on free ports and makes a ring of them.
source "$(dirname "$0")/common.sh"
[ -x "$build/bin/ringfs-node" ] || die "no build in $build: run examples/quickstart.sh first"
make_testbed
for number in $(seq "$nodes"); do
  home=$testbed/nodes/$number
  mkdir -p "$home"
  rm -f "$home/ready"
  "$build/bin/ringfs-node" --data "$home/data" --listen 127.0.0.1:0 --rest 127.0.0.1:0 >"$home/ready" 2>"$home/log" </dev/null &
  echo $! >"$home/pid"
done
for number in $(seq "$nodes"); do
  for _ in $(seq 100); do
    grep -q '^ready ' "$testbed/nodes/$number/ready" 2>/dev/null && break
    alive "$number" || die "node $number did not start: $(tail -n 3 "$testbed/nodes/$number/log")"
    sleep 0.1
  done
done
addresses=""
for number in $(seq "$nodes"); do addresses="$addresses $(rpc_of "$number")"; done
# shellcheck disable=SC2086 # a list of words
"$build/bin/ringfs" create $addresses
# The ring serves when every partition has a leader.
for _ in $(seq 100); do
  health=$(curl -s "http://$(rest_of 1)/healthz" | jq -r .health 2>/dev/null || true)
  [ "$health" = ok ] && break
  sleep 0.1
done
[ "$health" = ok ] || die "the ring is '$health' after 10 s"
echo "start: $nodes nodes, the ring is $health"

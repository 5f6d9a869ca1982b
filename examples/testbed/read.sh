#!/bin/bash
# Reads each pair back through a random node and compares.
source "$(dirname "$0")/common.sh"
need curl
count=0
while IFS=$'\t' read -r key value; do
  node=$(random_node "$(cat "$testbed/last-writer")")
  got=$(curl -sf --max-time 40 "http://$(rest_of "$node")/v1/kv/$key") || die "node $node does not have $key"
  [ "$got" = "$value" ] || die "node $node gives '$got' for $key, stored was '$value'"
  count=$((count + 1))
done <"$testbed/pairs.tsv"
echo "read: $count pairs, all as written"

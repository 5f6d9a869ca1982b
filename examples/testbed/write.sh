#!/bin/bash
# Stores each pair through a random node and records that node in writers.tsv.
source "$(dirname "$0")/common.sh"
need curl
count=0
while IFS=$'\t' read -r key value; do
  node=$(random_node)
  curl -sf --max-time 40 -X PUT --data-binary "$value" -o /dev/null "http://$(rest_of "$node")/v1/kv/$key" ||
    die "node $node did not store $key"
  printf '%s\t%s\n' "$key" "$node" >&3
  count=$((count + 1))
done <"$testbed/pairs.tsv" 3>"$testbed/writers.tsv"
echo "write: $count pairs"

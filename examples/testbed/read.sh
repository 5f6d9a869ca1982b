#!/bin/bash
# Reads each pair back through a random node other than its writer and compares.
source "$(dirname "$0")/common.sh"
need curl
declare -A writers
while IFS=$'\t' read -r key node; do writers[$key]=$node; done <"$testbed/writers.tsv"
count=0
while IFS=$'\t' read -r key value; do
  [ -n "${writers[$key]:-}" ] || die "nobody wrote $key: run write.sh"
  node=$(random_node "${writers[$key]}")
  got=$(curl -sf --max-time 40 "http://$(rest_of "$node")/v1/kv/$key") || die "node $node does not have $key"
  [ "$got" = "$value" ] || die "node $node gives '$got' for $key, stored was '$value'"
  count=$((count + 1))
done <"$testbed/pairs.tsv"
echo "read: $count pairs, all as written"

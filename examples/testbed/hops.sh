#!/bin/bash
# Looks every key up from a random node and prints how many nodes were asked.
source "$(dirname "$0")/common.sh"
need curl
need jq
while IFS=$'\t' read -r key _; do
  curl -sf --max-time 40 "http://$(rest_of "$(random_node)")/v1/lookup/$key" | jq '.hops | length'
done <"$testbed/pairs.tsv" | sort -n | uniq -c |
  awk '{ sum += $1 * $2; count += $1; printf "  %d lookups asked %d node%s\n", $1, $2, ($2 == 1 ? "" : "s"); if ($2 > most) most = $2 }
       END { if (!count) exit 1; printf "hops: %.2f on average, %d at most\n", sum / count, most }'

#!/bin/bash
# Looks up every key from a random node and prints how many nodes were asked.
source "$(dirname "$0")/common.sh"
set -o pipefail
need curl
need jq
while IFS=$'\t' read -r key _; do
  node=$(random_node)
  curl -sf --max-time 40 "http://$(rest_of "$node")/v1/lookup/$key" | jq -e '.hops | length' || die "node $node did not look $key up"
done <"$testbed/pairs.tsv" | sort -n | uniq -c |
  awk -v wanted="$(wc -l <"$testbed/pairs.tsv")" '{ sum += $1 * $2; count += $1; printf "  %d lookups asked %d node%s\n", $1, $2, ($2 == 1 ? "" : "s"); if ($2 > most) most = $2 }
       END { if (!count || count != wanted) { print "hops: " count + 0 " of " wanted " lookups were answered"; exit 1 }
             printf "hops: %.2f on average, %d at most\n", sum / count, most }'

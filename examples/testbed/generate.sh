#!/bin/bash
# Writes 100 random key-value pairs to pairs.tsv.
source "$(dirname "$0")/common.sh"
make_testbed
for _ in $(seq 100); do
  printf '%s\t%s\n' "key-$(od -An -N6 -tx1 /dev/urandom | tr -d ' \n')" "$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')"
done >"$testbed/pairs.tsv"
echo "generate: $(wc -l <"$testbed/pairs.tsv") pairs"

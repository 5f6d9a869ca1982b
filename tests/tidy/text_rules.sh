#!/bin/bash
# Fails on marks of unfinished work, absolute paths of one machine, headers without #pragma once, and C++ files that do not
# open with what they are.
set -eu
source "$(dirname "$0")/lib.sh"
cd "$1"
status=0
files=$(tracked '*.hpp' '*.cpp' '*.sh' '*.py' '*.md' '*.txt' '*.proto' | grep -v '^tests/tidy/text_rules.sh$')
headers=$(tracked '*.hpp')
bad=$(grep -nE '\b(TODO|FIXME|XXX|HACK)\b' $files || true)
[ -z "$bad" ] || { echo "unfinished work marked in the text:"; echo "$bad"; status=1; }
# shellcheck disable=SC2088 # a pattern
bad=$(grep -nE '/(work|root)/[a-z]' $files | grep -vE '~/|/root/\.|\$HOME' || true)
[ -z "$bad" ] || { echo "absolute paths of one machine:"; echo "$bad"; status=1; }
for header in $headers; do
  grep -q '^#pragma once$' "$header" || { echo "no #pragma once: $header"; status=1; }
done
for file in $(tracked '*.hpp' '*.cpp'); do
  head -1 "$file" | grep -q '^// ' || { echo "does not open with what it is: $file"; status=1; }
done
exit $status

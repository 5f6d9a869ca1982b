#!/bin/bash
# What no file may contain: unowned TODOs, temporary markers, absolute paths of a build machine, generator-less include guards.
set -eu
cd "$1"
status=0
files=$(git ls-files '*.hpp' '*.cpp' '*.sh' '*.md' '*.txt' '*.proto' 2>/dev/null | grep -v '^tests/tidy/text_rules.sh$' || true)
[ -n "$files" ] || files=$(find dht fs nodes mount tests examples docs README.md -name '*.hpp' -o -name '*.cpp' -o -name '*.sh' -o -name '*.md' | grep -v text_rules.sh)
bad=$(grep -nE '\b(TODO|FIXME|XXX|HACK)\b' $files || true)
[ -z "$bad" ] || { echo "unfinished work marked in the text:"; echo "$bad"; status=1; }
bad=$(grep -nE '/(work|root)/[a-z]' $files | grep -vE '~/|/root/\.|\$HOME' || true)
[ -z "$bad" ] || { echo "absolute paths of one machine:"; echo "$bad"; status=1; }
for header in $(git ls-files '*.hpp' 2>/dev/null); do
  grep -q '^#pragma once$' "$header" || { echo "no #pragma once: $header"; status=1; }
  head -1 "$header" | grep -q '^// ' || { echo "header does not open with what it is: $header"; status=1; }
done
exit $status

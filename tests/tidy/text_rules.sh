#!/bin/bash
# What no file may contain: unowned TODOs, temporary markers, absolute paths of a build machine, generator-less include guards.
set -eu
cd "$1"
status=0
# As root in somebody else's checkout, git refuses "dubious ownership" unless told. What was deleted and not yet committed is left out.
tracked() {
  local listed
  listed=$(git -c safe.directory='*' ls-files -- "$@") || return 1
  while read -r file; do
    [ ! -e "$file" ] || echo "$file"
  done <<<"$listed"
}
files=$(tracked '*.hpp' '*.cpp' '*.sh' '*.py' '*.md' '*.txt' '*.proto' | grep -v '^tests/tidy/text_rules.sh$')
headers=$(tracked '*.hpp')
[ -n "$files" ] && [ -n "$headers" ] || { echo "git lists no files in $1"; exit 1; }
bad=$(grep -nE '\b(TODO|FIXME|XXX|HACK)\b' $files || true)
[ -z "$bad" ] || { echo "unfinished work marked in the text:"; echo "$bad"; status=1; }
# shellcheck disable=SC2088 # a pattern
bad=$(grep -nE '/(work|root)/[a-z]' $files | grep -vE '~/|/root/\.|\$HOME' || true)
[ -z "$bad" ] || { echo "absolute paths of one machine:"; echo "$bad"; status=1; }
for header in $headers; do
  grep -q '^#pragma once$' "$header" || { echo "no #pragma once: $header"; status=1; }
  head -1 "$header" | grep -q '^// ' || { echo "header does not open with what it is: $header"; status=1; }
done
exit $status

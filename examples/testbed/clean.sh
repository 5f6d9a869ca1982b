#!/bin/bash
# Stops the testbed's nodes and removes its directory.
source "$(dirname "$0")/common.sh"
if [ ! -e "$testbed" ]; then
  echo "clean: there is no $testbed"
  exit 0
fi
[ -e "$marker" ] || die "$testbed is not the testbed's: it stays"
for number in $(seq "$nodes"); do
  alive "$number" && kill "$(cat "$testbed/nodes/$number/pid")" 2>/dev/null || true
done
for number in $(seq "$nodes"); do
  for _ in $(seq 100); do
    alive "$number" || break
    sleep 0.1
  done
  alive "$number" && kill -9 "$(cat "$testbed/nodes/$number/pid")" || true
done
rm -rf "$testbed"
echo "clean: $testbed is gone"

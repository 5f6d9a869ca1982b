#!/bin/bash
# Kills one living node with -9.
source "$(dirname "$0")/common.sh"
victim=$(random_node)
kill -9 "$(cat "$testbed/nodes/$victim/pid")"
echo "kill: node $victim is dead"

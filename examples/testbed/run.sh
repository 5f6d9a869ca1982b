#!/bin/bash
# The whole experiment: clean, generate, start, write, read, kill a node, read again from the replicas, hops, add a node, read,
# remove the dead one and a living one, reading after each, hops, clean.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
trap '"$here/clean.sh"' EXIT
for script in clean generate start write read hops kill read hops add read remove read remove read hops; do
  "$here/$script.sh"
done

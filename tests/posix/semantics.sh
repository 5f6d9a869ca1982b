#!/bin/bash
# POSIX semantics, operation by operation, on a mounted ring of five nodes.
source "$(dirname "$0")/lib.sh"
start_ring 5
mkdir "$mnt/semantics"
python3 "$here/programs/semantics.py" "$mnt/semantics"

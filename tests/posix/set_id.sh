#!/bin/bash
# Every change of contents by another user clears set-user-id and set-group-id bits, from one mount and from two.
source "$(dirname "$0")/lib.sh"
start_ring 3
chmod 711 "$scratch"
for m in one two; do
  mkdir "$scratch/$m"
  extra_mounts+=("$scratch/$m")
  "$ringfs" mount "$(addresses)" "$scratch/$m" -o allow_other
done
mkdir -m 777 "$mnt/programs"
python3 "$here/programs/set_id.py" "$scratch/one/programs" "$scratch/two/programs" || die "bits that should be gone are there"

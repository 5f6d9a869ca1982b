#!/bin/bash
# Names and attributes across mounts whose kernels keep what the ring has leased: every history has an order of operations that
# explains it, also while a node is killed, a mount is frozen and a member is added. And the check reports a mount that answers recalls
# before its kernel has forgotten. COHERENCE_SECONDS (10): how long each part takes; nightly it is longer.
source "$(dirname "$0")/lib.sh"
coherence=$build/tests/posix/coherence/ringfs-coherence
forgetful=$build/tests/posix/coherence/ringfs-forgetful
seconds=${COHERENCE_SECONDS:-10}
seed=${COHERENCE_SEED:-$RANDOM}
options=${COHERENCE_OPTIONS:-cache=attributes}
start_ring 3
said=$("$ringfs" mount "$(addresses)" "$(mkdir -p "$scratch/a" && echo "$scratch/a")" -o "$options")
extra_mounts+=("$scratch/a")
mkdir "$scratch/b" "$scratch/c"
extra_mounts+=("$scratch/b")
"$ringfs" mount "$(addresses)" "$scratch/b" -o "$options" >/dev/null
frozen=$(sed -n 's/^mounted on .* by process \([0-9]*\)$/\1/p' <<<"$said")
[ -n "$frozen" ] || die "which process is the mount? It said: $said"
stat_of() { sed -n "s/^$2=//p" "$1/.ring/stats"; }

part() {
  local name=$1 errors=$2
  shift 2
  mkdir -p "$mnt/$name"
  say "$name: seed $seed"
  # shellcheck disable=SC2086 # no word, or one
  "$coherence" $errors "$seconds" "$seed" "${@/%//$name}" >"$scratch/$name.out" ||
    { tail -n 60 "$scratch/$name.out"; die "$name"; }
  grep -v '^  ' "$scratch/$name.out"
  seed=$((seed + 1))
}

part two "" "$scratch/a" "$scratch/b"
part three "" "$mnt" "$scratch/a" "$scratch/b"
for mount in "$scratch/a" "$scratch/b"; do
  [ "$(stat_of "$mount" ringfs_mount_attributes_kept_total)" -gt 0 ] || die "nothing was kept: $(cat "$mount/.ring/stats")"
  [ "$(stat_of "$mount" ringfs_mount_attributes_recalled_total)" -gt 0 ] || die "nothing was taken back"
done

# A mount that is frozen while its machine's programs run on may show for as long as a lease what others have changed (docs/posix.md): so
# its programs are not part of this.
(for _ in $(seq $((seconds / 4 + 1))); do sleep 1; kill -STOP "$frozen"; sleep 3; kill -CONT "$frozen"; done) &
freezer=$!
part beside_a_frozen_mount "" "$mnt" "$scratch/b"
wait "$freezer"

(sleep $((seconds / 3)); kill -9 "$(node_pid 2)") &
part node_killed --errors "$mnt" "$scratch/a" "$scratch/b"
restart_ring

say "a mount that answers recalls before its kernel has forgotten is noticed"
extra_mounts+=("$scratch/c")
"$forgetful" release_without_telling "$(addresses)" "$scratch/c" "$options" 2>"$scratch/forgetful.log" &
extra_pids+=($!)
for _ in $(seq 100); do mountpoint -q "$scratch/c" && break; sleep 0.1; done
mountpoint -q "$scratch/c" || die "not mounted: $(cat "$scratch/forgetful.log")"
mkdir "$mnt/forgetful"
status=0
"$coherence" "$seconds" "$seed" "$mnt/forgetful" "$scratch/c/forgetful" >"$scratch/forgetful.out" || status=$?
[ $status -eq 1 ] && grep -q "no order explains" "$scratch/forgetful.out" ||
  die "not noticed: $status $(tail -n 20 "$scratch/forgetful.out")"

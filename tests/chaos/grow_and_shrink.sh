#!/bin/bash
# A ring grows from one node to ten and shrinks to three, without the first one, while files are in use: no operation fails, every byte
# is right, and in the end each partition lies on the three remaining nodes and no other (read from the nodes' databases).
#   grow_and_shrink.sh BUILD
# load.py writes and reads with checksums, and a copied tree is compared. Prints the durations of the longest operations.
source "$(dirname "$0")/../posix/lib.sh"
load=$here/../chaos/load.py
logs=$scratch/logs
mkdir "$logs"

# step WHAT: prints the duration of the previous step.
step() {
  [ -z "${step_began:-}" ] || say "... $((SECONDS - step_began)) s"
  step_began=$SECONDS
  say "$1"
}

# expect_members COUNT: all are up, and each is the preferred primary of at least one partition.
expect_members() {
  local up primaries
  up=$(awk '$3 == "up"' "$mnt/.ring/members" | wc -l)
  primaries=$(awk '$5 > 0' "$mnt/.ring/members" | wc -l)
  if [ "$up" -ne "$1" ] || [ "$primaries" -ne "$1" ] || [ "$(wc -l <"$mnt/.ring/members")" -ne "$1" ]; then
    cat "$mnt/.ring/members"
    die "not $1 nodes that are up and primaries of something"
  fi
}

# expect_degraded MISSING: fewer nodes than copies; the remark says how many nodes to add.
expect_degraded() {
  [ "$(health)" = degraded ] || die "health is '$(health)' with $1 nodes too few"
  grep -q "^remark There are fewer nodes .* add $1 node" "$mnt/.ring/status" || { cat "$mnt/.ring/status"; die "no such remark"; }
}

# leave NUMBER...: all of them at the same time; returns when they are removed and their processes have ended.
leave() {
  local number index ids=() pids=()
  for number in "$@"; do
    ids+=("$(id_of "$number")")
    pids+=("$(node_pid "$number")")
  done
  for index in "${!ids[@]}"; do
    echo "${ids[index]}" >"$mnt/.ring/remove" || die "remove: $(cat "$mnt/.ring/error_log")"
  done
  for index in "${!ids[@]}"; do
    has_state "${ids[index]}" "" 300
    ended "${pids[index]}" 20
  done
  settled 300
}

# 1,000 files of every size, and one of many chunks.
mkdir "$scratch/tree"
(cd /usr/include && find . -type f | sort | sed -n 1,1000p | xargs cp --parents -t "$scratch/tree")
head -c 20000000 /dev/urandom >"$scratch/tree/large"

step "one node"
start_ring 1
[ "$(cat "$mnt/.ring/config/replication")" -eq 3 ] || die "a ring of one node wants other than three copies"
expect_members 1
expect_degraded 2
cp -r "$scratch/tree" "$mnt/tree"
start_load

step "two"
add_local
settled 300
expect_members 2
expect_degraded 1

step "three"
add_local
settled 300
wait_healthy
expect_members 3

step "two more at once: five"
for _ in 1 2; do add_local; done
settled 300
wait_healthy
expect_members 5

step "five more at once: ten"
for _ in 1 2 3 4 5; do add_local; done
settled 300
wait_healthy
expect_members 10
cat "$mnt/.ring/members"

step "three leave at once, the first one among them: seven"
leave 1 3 8
wait_healthy
expect_members 7

step "four leave at once: three"
leave 2 5 7 10
wait_healthy
expect_members 3
# Fewer nodes than copies are refused.
last=$(id_of 4)
if echo "$last" 2>"$scratch/refused" >"$mnt/.ring/remove"; then die "a node was removed although two would remain"; fi

step "every byte"
failed=""
end_load || failed=yes
diff -r "$scratch/tree" "$mnt/tree" || failed=yes
[ -z "$failed" ] || die "an operation failed, or bytes were wrong"

step "and after all of them started again, without what the kernel had read"
"$ringfs" down --state "$state" >/dev/null
restart_ring
wait_healthy
expect_members 3
python3 "$load" verify "$mnt/load" "$scratch/records" || die "bytes are wrong after a restart"
diff -r "$scratch/tree" "$mnt/tree" || die "bytes are wrong after a restart"

step "where everything lies"
"$ringfs" down --state "$state" >/dev/null
placement() { python3 "$here/../chaos/placement.py" 3 "$@" || die "replicas are not where they belong"; }
databases() { for number in "$@"; do echo "$state/nodes/$number/data/ringfs.db"; done; }
# Three copies on the three nodes, and no others: all databases together have three as well.
# shellcheck disable=SC2046 # a list of words
placement $(databases 4 6 9)
placement "$state"/nodes/*/data/ringfs.db | tail -n 1
say "... $((SECONDS - step_began)) s, $SECONDS s in all"

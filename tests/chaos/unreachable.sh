#!/bin/bash
# A mount whose ring does not answer: ETIMEDOUT, no process hangs, it recovers by itself; unmounting always works.
source "$(dirname "$0")/../posix/lib.sh"
start_ring 3
echo before >"$mnt/file"

say "all nodes frozen"
for number in 1 2 3; do kill -STOP "$(node_pid "$number")"; done
status=0
output=$(timeout 60 cat "$mnt/file" 2>&1) || status=$?
[ $status -eq 1 ] || die "cat ended with $status: $output"
echo "$output" | grep -q "timed out" || die "not ETIMEDOUT: $output"
say "a process can be killed while it waits"
# timeout(1) returns 137 when it had to send SIGKILL, and only when the process has ended.
status=0
timeout -s KILL 1 stat "$mnt/other" >/dev/null 2>&1 || status=$?
[ $status -eq 137 ] || die "stat ended with $status instead of being killed"
say "and back"
for number in 1 2 3; do kill -CONT "$(node_pid "$number")"; done
for _ in $(seq 100); do
  [ "$(cat "$mnt/file" 2>/dev/null)" = before ] && break
  sleep 0.2
done
[ "$(cat "$mnt/file")" = before ] || die "no recovery"
echo after >"$mnt/file2"

say "the ring's own limit, of which a mount knows from its start"
[ "$(cat "$mnt/.ring/config/op_timeout")" = 30 ] || die "not 30 at first"
echo 2 >"$mnt/.ring/config/op_timeout"
"$ringfs" down --state "$state" >/dev/null
restart_ring
for number in 1 2 3; do kill -STOP "$(node_pid "$number")"; done
status=0
output=$(timeout 20 cat "$mnt/file" 2>&1) || status=$?
for number in 1 2 3; do kill -CONT "$(node_pid "$number")"; done
[ $status -eq 1 ] || die "cat ended with $status: $output"
wait_healthy
echo 30 >"$mnt/.ring/config/op_timeout"

say "one of three dead: reads and writes go on"
kill -9 "$(node_pid 1)"
echo "with two" >"$mnt/two"
[ "$(cat "$mnt/two")" = "with two" ] || die "two nodes do not serve"

say "two of three dead: no stale data, a clear error"
kill -9 "$(node_pid 2)"
# A living leader may answer while its lease lasts; its answers must be right.
for _ in $(seq 100); do
  status=0
  output=$(timeout 60 cat "$mnt/file" 2>&1) || status=$?
  [ $status -eq 0 ] || break
  [ "$output" = before ] || die "stale: $output"
  sleep 0.1
done
[ $status -eq 1 ] || die "cat without a quorum ended with $status: $output"

say "unmounting works without a ring"
kill -9 "$(node_pid 3)"
timeout 60 fusermount3 -u "$mnt"
mountpoint -q "$mnt" && die "still mounted"
restart_ring
[ "$(cat "$mnt/file" "$mnt/file2" "$mnt/two" | tr '\n' ' ')" = "before after with two " ] || die "lost after all died"

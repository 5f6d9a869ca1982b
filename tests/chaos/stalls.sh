#!/bin/bash
# How long writers and readers wait when a node dies or freezes or its disk hangs.
#   stalls.sh BUILD [ROUNDS [NODES]]      18 rounds of 5 nodes
# While load.py writes and reads, each round strikes the node that leads the root directory's partition, the members table's or
# that of the file being written, in turn: kill -9 and a restart, -STOP and -CONT, or syncs that do not end. It prints the longest
# operation of each round and histograms. It fails when an operation fails, a byte is wrong, or a round had no effect; never because of
# a duration. RINGFS_NICE=-10: ring and load get priority over other work, for measurements on a busy machine.
source "$(dirname "$0")/../posix/lib.sh"
rounds=${2:-18}
nodes=${3:-5}
down_seconds=6    # of the struck node; all operations must have gone on long before
settle_seconds=4  # after its return; leadership moves back to the node meanwhile
preload=$build/tests/disk_trouble.so
[ -f "$preload" ] || die "no $preload"
load=$here/../chaos/load.py
logs=$scratch/logs
mkdir "$logs"
[ -z "${RINGFS_NICE:-}" ] || renice -n "$RINGFS_NICE" $$ >/dev/null

# The state of the machine, to compare the results with: 300 writes of 4 KiB, each with its fsync, and the other load.
probe() {
  python3 - "$scratch/probe" <<'PYTHON'
import os, sys, time
file = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT, 0o600)
times = []
for index in range(300):
    begin = time.monotonic()
    os.pwrite(file, b"x" * 4096, index % 16 * 4096)
    os.fsync(file)
    times.append(time.monotonic() - begin)
times.sort()
print("-- fsync: median %.0f us, 99 in 100 below %.0f us; %d processors; load average %s" %
      (times[150] * 1e6, times[297] * 1e6, os.cpu_count(), open("/proc/loadavg").read().split()[0]))
PYTHON
}

now() { date +%s.%N; }

# The partition where the inode of the file being written lives: the placement bits of its number (docs/file-system-format.md).
file_partition() { echo $(($(stat -c %i "$mnt/load/large") >> 55)); }

partition_whose() {
  case "$1" in
    root) echo 0 ;;
    table) partition_of_key ring/members ;;
    file) file_partition ;;
  esac
}

# another_leads PARTITION ID: a node other than this one leads before the struck node comes back.
another_leads() {
  local id=""
  while [ "$(date +%s)" -lt "$end" ]; do
    id=$(leader_id "$1") || true
    [ -n "$id" ] && [ "$id" != "$2" ] && return
    sleep 0.2
  done
  die "partition $1 is led by '$id' $down_seconds s after its leader $2 was struck"
}

round() {
  local number=$1 kind=$2 whose=$3 partition victim id pid struck end back
  partition=$(partition_whose "$whose")
  victim=$(leader_of "$partition")
  id=$(id_of "$victim")
  pid=$(node_pid "$victim")
  say "round $number: $kind node $victim, which leads partition $partition ($whose)"
  end=$(($(date +%s) + down_seconds))
  struck=$(now)
  case "$kind" in
    killed) kill -9 "$pid" ;;
    frozen) kill -STOP "$pid" ;;
    hung) echo hang >"$state/nodes/$victim/data/trouble" ;;
  esac
  another_leads "$partition" "$id"
  while [ "$(date +%s)" -lt "$end" ]; do sleep 0.1; done
  back=$(now)
  case "$kind" in
    killed) LD_PRELOAD=$preload restart_ring ;;
    frozen) kill -CONT "$pid" ;;
    hung) rm "$state/nodes/$victim/data/trouble" ;;
  esac
  wait_healthy
  sleep "$settle_seconds"
  echo "$number $kind $whose $partition $victim $struck $back $(now)" >>"$logs/rounds"
  kill -0 "$loader" || die "the load ended"
}

probe
LD_PRELOAD=$preload start_ring "$nodes"
wait_healthy
start_load
sleep 2
kinds=(hung killed frozen)
whose=(root table file)
for number in $(seq "$rounds"); do
  round "$number" "${kinds[number % 3]}" "${whose[(number - 1) / 3 % 3]}"
done
probe
touch "$logs/stop"
failed=""
wait "$loader" || failed=yes
cat "$scratch/load.log"
python3 "$load" report "$logs" || failed=yes
[ "$(wc -l <"$logs/rounds")" -eq "$rounds" ] || die "not $rounds rounds"
python3 "$load" verify "$mnt/load" "$scratch/records" || failed=yes
[ -z "$failed" ] || die "an operation failed, or bytes were wrong"

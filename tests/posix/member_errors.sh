#!/bin/bash
# Refusals of .ring/add, .ring/remove and .ring/config, from a shell: each has its errno, its reason is in .ring/error_log, and nothing
# changes. Also: a node adds itself, and interrupted adds are repeated.
source "$(dirname "$0")/lib.sh"

# refused WHAT ERRNO FILE LINE: the shell's message says WHAT, and the last record of the error log names ERRNO.
refused() {
  local status=0 message
  printf '%s\n' "$4" >"$scratch/line"
  message=$( (cat "$scratch/line" >"$mnt/.ring/$3") 2>&1) || status=$?  # in one write, which printf does not do
  [ $status -ne 0 ] || die "'${4:0:60}' into $3 was accepted instead of $2"
  [[ "$message" == *"$1"* ]] || die "'${4:0:60}' into $3: '$message' instead of '$1'"
  [ "$(tail -n 1 "$mnt/.ring/error_log" | cut -d' ' -f2,3)" = "$3 $2" ] || die "not '$3 $2': $(tail -n 1 "$mnt/.ring/error_log")"
  echo "$2: $(tail -n 1 "$mnt/.ring/error_log" | cut -d' ' -f4-)"
}

# accepted FILE LINE: within 20 s, because nodes measure their disks only now and then.
accepted() {
  for _ in $(seq 100); do
    (echo "$2" >"$mnt/.ring/$1") 2>/dev/null && return
    sleep 0.2
  done
  die "'$2' into $1 is refused: $(tail -n 1 "$mnt/.ring/error_log")"
}

say "three nodes on a small disk"
mkdir -p "$scratch/small" "$state/nodes"
mount -t tmpfs -o size=300m tmpfs "$scratch/small"
disk_mounts+=("$scratch/small")
for number in 1 2 3; do
  mkdir "$scratch/small/$number"
  ln -s "$scratch/small/$number" "$state/nodes/$number"
done
start_ring 3
wait_healthy
before=$(cat "$mnt/.ring/members" | cut -d" " -f1-3)
member=$(awk 'NR == 1 {print $2}' "$mnt/.ring/members")

say "malformed"
refused "Invalid argument" EINVAL add nonsense
refused "Invalid argument" EINVAL add "127.0.0.1:1 127.0.0.1:2"
refused "Invalid argument" EINVAL remove nonsense
refused "Invalid argument" EINVAL remove "$member now"
refused "Argument list too long" E2BIG add "$(printf '%5000s' x)"
refused "Numerical result out of range" ERANGE config/replication 8
refused "Invalid argument" EINVAL config/replication three

say "nodes that do not answer"
refused "Connection refused" ECONNREFUSED add 127.0.0.1:1
refused "No route to host" EHOSTUNREACH add 255.255.255.255:1
start_node frozen
kill -STOP "$node_process"
refused "Connection timed out" ETIMEDOUT add "$address"
kill -CONT "$node_process"

say "nodes that must not join"
refused "File exists" EEXIST add "$member"
start_node foreign
"$ringfs" create "$address" >/dev/null || die "create"
refused "Key was rejected by service" EKEYREJECTED add "$address"
python3 - "$scratch/newer.port" <<'PYTHON' &
import socket, sys
listener = socket.create_server(("127.0.0.1", 0))
open(sys.argv[1], "w").write(str(listener.getsockname()[1]))
while True:
    connection = listener.accept()[0]
    connection.sendall(b"RNG1" + bytes([2, 1]) + bytes(18))  # a handshake of protocol version 2
    connection.recv(4096)
    connection.close()
PYTHON
extra_pids+=($!)
for _ in $(seq 100); do
  [ -s "$scratch/newer.port" ] && break
  sleep 0.1
done
refused "Protocol error" EPROTO add "127.0.0.1:$(cat "$scratch/newer.port")"

say "members that must not go"
refused "No such file or directory" ENOENT remove 127.0.0.1:1
refused "No such file or directory" ENOENT remove 00000000-0000-0000-0000-000000000001
refused "Resource temporarily unavailable" EAGAIN remove "$member"
[ "$(cat "$mnt/.ring/members" | cut -d" " -f1-3)" = "$before" ] || die "something was changed"

say "who may not"
expect_failure mkdir "$mnt/.ring/x" | grep -q "Operation not permitted" || die "mkdir"
expect_failure cat "$mnt/.ring/add" | grep -q "Permission denied" || die "reading add"

say "a node adds itself, and one more is added"
start_node joiner --join "$member"
for _ in $(seq 100); do
  grep -q " $address up " "$mnt/.ring/members" && break
  sleep 0.2
done
grep -q " $address up " "$mnt/.ring/members" || { cat "$mnt/.ring/members"; die "$address did not join"; }
joiner=$address
settled 300

say "the others are full"
# Full nodes give back their reserve and other room: fill the disk until no more comes.
left=$((2 * 1024 * 1024))
calm=0
for pass in $(seq 100); do
  free=$(df --output=avail -B1 "$scratch/small" | tail -n 1)
  calm=$((calm + 1))
  if [ "$free" -gt $((2 * left)) ]; then
    fallocate -l $((free - left)) "$scratch/small/filler-$pass"
    calm=0
  fi
  [ "$calm" -lt 15 ] || break
  sleep 0.2
done
grep -q "disk is full" "$mnt/.ring/status" || die "nobody says that a disk is full"
refused "No space left on device" ENOSPC remove "$joiner"
rm "$scratch/small"/filler-*

say "while it goes already"
accepted rebalance pause
[ "$(cat "$mnt/.ring/config/rebalance_rate")" = 0 ] || die "not paused"
accepted remove "$joiner"
refused "Device or resource busy" EBUSY remove "$joiner"
refused "Device or resource busy" EBUSY add "$joiner"
grep -q "^state paused" "$mnt/.ring/rebalance" || { cat "$mnt/.ring/rebalance"; die "not paused"; }
echo resume >"$mnt/.ring/rebalance"
settled 300
for _ in $(seq 100); do
  grep -q " $joiner " "$mnt/.ring/members" || break
  sleep 0.2
done
grep -q " $joiner " "$mnt/.ring/members" && die "$joiner was not removed"
[ "$(cat "$mnt/.ring/members" | cut -d" " -f1-3)" = "$before" ] || die "not the ring of before"

say "a ring that does not answer"
for number in 1 2 3; do kill -STOP "$(node_pid "$number")"; done
expect_failure bash -c "echo $member >'$mnt/.ring/remove'" | grep -q "Connection timed out" || die "not ETIMEDOUT"
for number in 1 2 3; do kill -CONT "$(node_pid "$number")"; done
wait_healthy

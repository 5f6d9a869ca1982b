#!/bin/bash
# The same operations over UNIX sockets, TCP on loopback and TLS, in one run: three rings of three nodes, one after the other in each
# round, mounted in the same way. Medians of the rounds, and TCP and TLS as parts of UNIX sockets.
#   transports.sh BUILD [--rounds N] [arguments of mount_bench]
# Needs root and jq; runs in namespaces of its own for the network, mounts and processes.
set -eu -o pipefail
build=$(realpath "$1")
shift
if [ -z "${RINGFS_TRANSPORTS_INSIDE:-}" ]; then
  RINGFS_TRANSPORTS_INSIDE=1 exec unshare --net --mount --pid --fork --mount-proc --kill-child "$0" "$build" "$@"
fi
rounds=3
if [ "${1:-}" = --rounds ]; then
  rounds=$2
  shift 2
fi
[ $# -gt 0 ] || set -- --threads 1 --files 200 --large 128 --seconds 5
export PATH=$build/bin:$PATH
scratch=$(mktemp -d /var/tmp/ringfs-transports-XXXXXX)
trap 'rm -rf --one-file-system "$scratch"' EXIT
export HOME=$scratch/home
mkdir "$HOME"
ip link set lo up
ip address add 10.77.0.1/32 dev lo

# start NUMBER ADDRESS OPTIONS...: a node; returns when it is ready.
start() {
  local number=$1 address=$2
  shift 2
  ringfs-node --data "$ring/$number" --listen "$address:400$number" --rest "127.0.0.1:300$number" "$@" >"$ring/ready$number" \
    2>"$ring/log$number" &
  pids+=($!)
  until grep -q '^ready' "$ring/ready$number"; do sleep 0.05; done
}

# measure ROUND TRANSPORT
measure() {
  local address=127.0.0.1 nodes
  ring=$scratch/$2
  pids=()
  mkdir "$ring" "$ring/mnt"
  unset RINGFS_TEST_LOCAL_SOCKETS
  [ "$2" = unix ] || export RINGFS_TEST_LOCAL_SOCKETS=off
  [ "$2" != tls ] || address=10.77.0.1
  nodes=$address:4001,$address:4002,$address:4003
  if [ "$2" = tls ]; then
    start 1 $address --create
    RINGFS_TEST_LOCAL_SOCKETS=on ringfs token create --role node --uses 2 --node $address:4001 >"$ring/token"
    for number in 2 3; do start $number $address --join $address:4001 --token-file "$ring/token"; done
    RINGFS_TEST_LOCAL_SOCKETS=on ringfs token create --role writer --node $address:4001 >"$ring/token"
    ringfs mount $nodes "$ring/mnt" --token-file "$ring/token" >/dev/null
  else
    for number in 1 2 3; do start $number $address; done
    ringfs create ${nodes//,/ } >/dev/null
    ringfs mount $nodes "$ring/mnt" >/dev/null
  fi
  ringfs wait --node $nodes >/dev/null
  mount_bench >"$scratch/$2.$1.json"
  ringfs umount "$ring/mnt"
  kill "${pids[@]}"
  wait "${pids[@]}" || true
  rm -rf "$ring" "$HOME/.config"
}
arguments=("$@")
mount_bench() { "$build/tests/bench/mount_bench" "${arguments[@]}" --json "$ring/mnt"; }

for round in $(seq "$rounds"); do
  for transport in unix tcp tls; do measure "$round" $transport; done
done
printf '%-26s%12s%12s%12s%10s%10s\n' case unix tcp tls tcp/unix tls/unix
jq -r '.[] | "\(.name) \(.threads)"' "$scratch/unix.1.json" | while read -r name threads; do
  line=()
  for transport in unix tcp tls; do
    line+=("$(cat "$scratch/$transport".*.json | jq -s --arg name "$name" --argjson threads "$threads" \
      '[.[][] | select(.name == $name and .threads == $threads) | if .mb_per_second > 0 then 1e6 / .mb_per_second else .median_us end]
       | sort | .[(length / 2 | floor)]')")
  done
  awk -v name="$name $threads" -v unix="${line[0]}" -v tcp="${line[1]}" -v tls="${line[2]}" \
    'BEGIN { printf "%-26s%12.1f%12.1f%12.1f%10.2f%10.2f\n", name, unix, tcp, tls, tcp / unix, tls / unix }'
done
echo "microseconds (median of an operation; of a MB where it is a stream)"

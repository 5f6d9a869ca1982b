# Rings over machines for the tests here: source it with build set. See examples/machines.sh.
# shellcheck shell=bash disable=SC2154
tests=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
source "$tests/../examples/machines.sh" "$@"
say() { echo "-- $*"; }
load=$tests/chaos/load.py

# start_ring: nodes on A, B and C, mounted on D by a client called d; makes these machines if there are none. Sets mnt and nodes.
start_ring() {
  local machine
  if [ ${#machines[@]} = 0 ]; then
    for machine in A B C D; do make_machine $machine; done
  fi
  nodes=$subnet.1:4001,$subnet.2:4001,$subnet.3:4001
  start_node A ringfs-node --data data --listen $subnet.1:4001 --create
  for machine in B C; do
    on A ringfs token create --role node >"$RINGFS_LAB/$machine/token"
    start_node $machine ringfs-node --data data --listen "$subnet.$(number_of $machine):4001" --join $subnet.1:4001 --token-file token
  done
  mount_on D d
  mnt=$RINGFS_LAB/D/mnt
  on D ringfs wait --node $nodes --timeout 120
}

number_of() {
  local letters=ABCDEFGHI
  letters=${letters%%"$1"*}
  echo $((${#letters} + 1))
}

# mount_on MACHINE NAME: a client of its own, with the role writer.
mount_on() {
  on A ringfs token create --role writer >"$RINGFS_LAB/$1/token"
  mkdir -p "$RINGFS_LAB/$1/mnt"
  on "$1" ringfs mount $nodes mnt --token-file token --name "$2" --log-file mount.log
}

# until_true SECONDS WORDS COMMAND...: fails with the words when it is not true in time.
until_true() {
  local end=$((SECONDS + $1)) words=$2
  shift 2
  until "$@"; do
    [ $SECONDS -lt $end ] || die "$words"
    sleep 0.1
  done
}
healthy() { on D ringfs status --node $nodes >"$RINGFS_LAB/status" 2>/dev/null; }

# refused WORDS COMMAND...: it fails, and says so in these words.
refused() {
  local words=$1
  shift
  if "$@" >"$RINGFS_LAB/said" 2>&1; then die "not refused: $*"; fi
  grep -qF "$words" "$RINGFS_LAB/said" || { cat "$RINGFS_LAB/said"; die "other words than '$words'"; }
}

# The load of tests/chaos/load.py on the mount: start_load; end_load fails when an operation failed or bytes are wrong.
start_load() {
  mkdir "$mnt/load" "$RINGFS_LAB/logs"
  python3 "$load" run "$mnt/load" "$RINGFS_LAB/records" "$RINGFS_LAB/logs" &
  load_pid=$!
  until [ -s "$RINGFS_LAB/records" ]; do sleep 0.1; done
}
end_load() {
  local failed=0
  touch "$RINGFS_LAB/logs/stop"
  wait $load_pid || failed=1
  python3 "$load" longest "$RINGFS_LAB/logs" || failed=1
  python3 "$load" verify "$mnt/load" "$RINGFS_LAB/records" || failed=1
  [ $failed = 0 ] || die "an operation failed, or bytes are wrong"
}

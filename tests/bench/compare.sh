#!/bin/bash
# Operations of a mounted directory side by side, in one run on one disk: the disk itself, libfuse's passthrough example on it, RingFS
# (3 nodes, 3 copies, everything synced), GlusterFS (replica 3 of three bricks) and MooseFS (one master, goal 3 on three chunkservers), both
# as Debian installs them: glusterfs-server, glusterfs-client; moosefs-master, moosefs-chunkserver, moosefs-client.
# compare.sh BUILD_DIRECTORY [--dir DIRECTORY ON THE DISK] [--without-glusterfs] [--without-moosefs] [arguments of mount_bench]
# Needs root. Everything runs in namespaces of its own for the network, mounts and host name, and ends with this script.
set -eu -o pipefail
build=$(realpath "$1")
shift
disk=/var/tmp
gluster=yes
moose=yes
while [ $# -gt 0 ]; do
  case $1 in
    --dir) disk=$(realpath "$2"); shift 2 ;;
    --without-glusterfs) gluster=no; shift ;;
    --without-moosefs) moose=no; shift ;;
    *) break ;;
  esac
done
if [ -z "${RINGFS_COMPARE_INSIDE:-}" ]; then
  [ "$(id -u)" = 0 ] || { echo "compare.sh: needs root" >&2; exit 1; }
  arguments=(--dir "$disk")
  [ $gluster = yes ] || arguments+=(--without-glusterfs)
  [ $moose = yes ] || arguments+=(--without-moosefs)
  RINGFS_COMPARE_INSIDE=1 exec unshare --net --mount --uts --pid --fork --mount-proc --kill-child "$0" "$build" "${arguments[@]}" "$@"
fi
ip link set lo up
ip address add 10.77.0.1/32 dev lo
hostname ringfs-bench
scratch=$(mktemp -d "$disk/ringfs-compare-XXXXXX")
printf '127.0.0.1 localhost\n10.77.0.1 ringfs-bench\n' >"$scratch/hosts"
mount --bind "$scratch/hosts" /etc/hosts
if [ "$(stat -f -c %T "$disk")" = tmpfs ]; then echo "compare.sh: $disk is a tmpfs, not a disk" >&2; exit 1; fi

clean_up() {
  local status=$?
  set +e
  cd /
  fusermount3 -u -z "$scratch/passthrough" 2>/dev/null
  "$build/bin/ringfs" down --state "$scratch/ring" >/dev/null 2>&1
  umount -l "$scratch/gluster" "$scratch/moose" 2>/dev/null
  umount -l /var/lib/glusterd /var/log/glusterfs /var/run/gluster 2>/dev/null
  rm -rf --one-file-system "$scratch"
  exit $status  # remaining processes end with this process's pid namespace
}
trap clean_up EXIT

measure() {  # measure NAME DIRECTORY [arguments]
  local name=$1 directory=$2
  shift 2
  echo "---- $name" >&2
  "$build/tests/bench/mount_bench" "$directory" --json "$@" >"$scratch/$name.json"
}

mkdir "$scratch/local"
measure local "$scratch/local" "$@"

# shellcheck disable=SC2046 # a list of words
gcc -O2 -o "$scratch/passthrough_ll" /usr/share/doc/libfuse3-dev/examples/passthrough_ll.c $(pkg-config --cflags --libs fuse3) \
  2>"$scratch/passthrough.log" || { cat "$scratch/passthrough.log"; exit 1; }
mkdir "$scratch/passthrough" "$scratch/below"
"$scratch/passthrough_ll" -o "source=$scratch/below,cache=never" "$scratch/passthrough"
measure passthrough "$scratch/passthrough" "$@"

mkdir "$scratch/ringfs"
"$build/bin/ringfs" up --nodes 3 --state "$scratch/ring" --rpc-port 0 --rest-port 0 "$scratch/ringfs" >"$scratch/up.log" 2>&1 ||
  { cat "$scratch/up.log"; exit 1; }
measure ringfs "$scratch/ringfs" "$@"
"$build/bin/ringfs" down --state "$scratch/ring" >/dev/null

columns="local passthrough ringfs"
if [ $gluster = yes ]; then
  mkdir -p "$scratch"/{glusterd,log,run,b1,b2,b3,gluster} /var/lib/glusterd /var/log/glusterfs /var/run/gluster
  mount --bind "$scratch/glusterd" /var/lib/glusterd
  mount --bind "$scratch/log" /var/log/glusterfs
  mount --bind "$scratch/run" /var/run/gluster
  glusterd
  for _ in $(seq 50); do gluster --mode=script pool list >/dev/null 2>&1 && break; sleep 0.2; done
  gluster --mode=script volume create bench replica 3 ringfs-bench:"$scratch"/b{1,2,3} force >&2
  gluster --mode=script volume start bench >&2
  glusterfs --volfile-server=ringfs-bench --volfile-id=bench "$scratch/gluster"
  for _ in $(seq 100); do grep -q " $scratch/gluster fuse.glusterfs" /proc/self/mounts && break; sleep 0.1; done
  measure glusterfs "$scratch/gluster" "$@"
  columns="$columns glusterfs"
  umount "$scratch/gluster"
  gluster --mode=script volume stop bench force >&2
fi
if [ $moose = yes ]; then
  # Its chunkservers refuse loopback addresses: they get the other address of this network namespace.
  host=10.77.0.1
  daemon="WORKING_USER = root\nWORKING_GROUP = root\nLIMIT_GLIBC_MALLOC_ARENAS = 0"
  mkdir -p "$scratch/moose" "$scratch/mfsmaster"
  cp /var/lib/mfs/metadata.mfs.empty "$scratch/mfsmaster/metadata.mfs"
  echo '* / rw,alldirs,maproot=0' >"$scratch/mfsexports.cfg"
  printf '%b\n' "$daemon" "DATA_PATH = $scratch/mfsmaster" "EXPORTS_FILENAME = $scratch/mfsexports.cfg" \
    "MATOML_LISTEN_HOST = $host" "MATOCS_LISTEN_HOST = $host" "MATOCL_LISTEN_HOST = $host" >"$scratch/mfsmaster.cfg"
  mfsmaster -c "$scratch/mfsmaster.cfg" start >"$scratch/moose.log" 2>&1 || { cat "$scratch/moose.log"; exit 1; }
  for number in 1 2 3; do
    mkdir "$scratch/chunks$number" "$scratch/chunkserver$number"
    echo "$scratch/chunks$number" >"$scratch/hdd$number.cfg"
    printf '%b\n' "$daemon" "DATA_PATH = $scratch/chunkserver$number" "HDD_CONF_FILENAME = $scratch/hdd$number.cfg" \
      "MASTER_HOST = $host" "BIND_HOST = $host" "CSSERV_LISTEN_HOST = $host" "CSSERV_LISTEN_PORT = 942$((number + 3))" \
      >"$scratch/chunkserver$number.cfg"
    mfschunkserver -c "$scratch/chunkserver$number.cfg" start >"$scratch/moose.log" 2>&1 || { cat "$scratch/moose.log"; exit 1; }
  done
  mfsmount "$scratch/moose" -H $host >"$scratch/moose.log" 2>&1 || { cat "$scratch/moose.log"; exit 1; }
  mfssetgoal -r 3 "$scratch/moose" >&2
  # Three copies from the first file on: wait until the master lists all servers.
  for _ in $(seq 100); do [ "$(mfscli -H $host -SCS -p 2>/dev/null | grep -c "$host")" -ge 3 ] && break; sleep 0.1; done
  measure moosefs "$scratch/moose" "$@"
  columns="$columns moosefs"
  umount "$scratch/moose"
fi

# One row per case: microseconds (median); operations or MB a second for several threads or a stream.
echo
printf '%-30s' case
for column in $columns; do printf '%14s' "$column"; done
for peer in glusterfs moosefs; do
  case " $columns " in *" $peer "*) printf '%20s' "$peer / ringfs" ;; esac
done
echo
jq -r '.[] | "\(.name) \(.threads)"' "$scratch/local.json" | while read -r name threads; do
  unit=us
  key=median_us
  [ "$threads" -gt 1 ] && { unit=/s; key=per_second; }
  case $name in write_fsync | read_cold) unit=MB/s; key=mb_per_second ;; esac
  printf '%-30s' "$name, $threads thr, $unit"
  declare -A values=()
  for column in $columns; do
    value=$(jq -r --arg name "$name" --argjson threads "$threads" --arg key "$key" \
      '[.[] | select(.name == $name and .threads == $threads) | .[$key]][0] // 0 | . * 10 | round / 10' "$scratch/$column.json")
    values[$column]=$value
    printf '%14s' "$value"
  done
  for peer in glusterfs moosefs; do
    [ -n "${values[$peer]:-}" ] || continue
    # How many times faster RingFS is.
    own=${values[ringfs]} other=${values[$peer]}
    [ $unit = us ] && ratio="$other / $own" || ratio="$own / $other"
    printf '%20s' "$(awk "BEGIN { if ($own > 0 && $other > 0) printf \"%.2f\", $ratio; else printf \"-\" }")"
  done
  echo
done

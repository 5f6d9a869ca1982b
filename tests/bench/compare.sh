#!/bin/bash
# Operations of a mounted directory side by side, in one run on one disk: the disk itself, libfuse's passthrough example on it, RingFS
# (3 nodes, 3 copies, everything synced), GlusterFS (replica 3 of three bricks, as Debian installs it).
# compare.sh BUILD_DIRECTORY [--dir DIRECTORY ON THE DISK] [--without-glusterfs] [arguments of mount_bench]
# Needs root. Everything runs in namespaces of its own for the network, mounts and host name, and ends with this script.
set -eu -o pipefail
build=$(realpath "$1")
shift
disk=/var/tmp
gluster=yes
while [ $# -gt 0 ]; do
  case $1 in
    --dir) disk=$(realpath "$2"); shift 2 ;;
    --without-glusterfs) gluster=no; shift ;;
    *) break ;;
  esac
done
if [ -z "${RINGFS_COMPARE_INSIDE:-}" ]; then
  [ "$(id -u)" = 0 ] || { echo "compare.sh: needs root" >&2; exit 1; }
  arguments=(--dir "$disk")
  [ $gluster = yes ] || arguments+=(--without-glusterfs)
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
  umount -l "$scratch/gluster" 2>/dev/null
  umount -l /var/lib/glusterd /var/log/glusterfs /var/run/gluster 2>/dev/null
  rm -rf --one-file-system "$scratch"
  exit $status  # whatever still runs ends with this process's pid namespace
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
fi

# One row a case: microseconds (median), or operations or MB a second where several threads or a stream count.
echo
printf '%-30s' case
for column in $columns; do printf '%14s' "$column"; done
[ $gluster = yes ] && printf '%20s' 'glusterfs / ringfs'
echo
jq -r '.[] | "\(.name) \(.threads)"' "$scratch/local.json" | while read -r name threads; do
  unit=us
  key=median_us
  [ "$threads" -gt 1 ] && { unit=/s; key=per_second; }
  case $name in write_fsync | read_cold) unit=MB/s; key=mb_per_second ;; esac
  printf '%-30s' "$name, $threads thr, $unit"
  values=()
  for column in $columns; do
    value=$(jq -r --arg name "$name" --argjson threads "$threads" --arg key "$key" \
      '[.[] | select(.name == $name and .threads == $threads) | .[$key]][0] // 0 | . * 10 | round / 10' "$scratch/$column.json")
    values+=("$value")
    printf '%14s' "$value"
  done
  if [ $gluster = yes ]; then
    # How many times faster RingFS is.
    [ $unit = us ] && ratio="${values[3]} / ${values[2]}" || ratio="${values[2]} / ${values[3]}"
    printf '%20s' "$(awk "BEGIN { if (${values[2]} > 0 && ${values[3]} > 0) printf \"%.2f\", $ratio; else printf \"-\" }")"
  fi
  echo
done

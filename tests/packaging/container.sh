# A Debian 12 in a container with its own init: made once, copied and booted by a test, and always taken down again.
# shellcheck shell=bash disable=SC2154 # they are set by that script
# The script that sources this sets: cache (a folder that is kept), scratch (one that is not).
# Nothing here knows a package host: the mirror is that of this machine's apt.

container_pid=""
root=$scratch/root
machine=ringfs-test-$$

say() { echo "-- $*"; }
die() { echo "FAILED: $*" >&2; exit 1; }

# The first mirror of bookworm's main packages that this machine's apt uses.
mirror() {
  # shellcheck disable=SC2016 # apt's own words
  apt-get indextargets --format '$(REPO_URI) $(CODENAME) $(COMPONENT)' 'Created-By: Packages' |
    awk '$2 == "bookworm" && $3 == "main" { print $1; exit }'
}

# make_base: the system that every run copies, in $cache/base. Its marker is written when it is complete.
make_base() {
  [ -e "$cache/complete" ] && return
  local from
  from=$(mirror)
  [ -n "$from" ] || die "apt of this machine has no bookworm main: there is nothing to make a Debian 12 from"
  say "debootstrap into $cache"
  rm -rf --one-file-system "$cache/base"
  mkdir -p "$cache/base" "$cache/archives"
  debootstrap --variant=minbase --include=systemd-sysv,mount,procps,ca-certificates bookworm "$cache/base" "$from" \
    >"$scratch/debootstrap.log" 2>&1 || { tail -n 20 "$scratch/debootstrap.log" >&2; die "debootstrap"; }
  rm "$cache"/base/var/cache/apt/archives/*.deb
  touch "$cache/complete"
}

# in_root COMMAND...: in the copy while it is not booted, with this machine's network.
in_root() {
  systemd-nspawn --quiet --directory="$root" --machine="$machine" --register=no --keep-unit --link-journal=no --pipe \
    --resolv-conf=copy-host --bind="$cache/archives:/var/cache/apt/archives" --setenv=DEBIAN_FRONTEND=noninteractive "$@" \
    2>&1 </dev/null
}

# inside COMMAND...: in the booted container, as root.
inside() {
  nsenter --target "$container_init" --all env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C \
    DEBIAN_FRONTEND=noninteractive "$@"
}

# boot: starts the container's init, with a network of its own. Returns when all its services have been started.
boot() {
  # As udev makes it; this machine's may be for root only, and there is no udev in a container.
  [ -e "$scratch/fuse" ] || mknod -m 666 "$scratch/fuse" c 10 229
  # With the usual priority, whatever that of the test is: a service cannot give its threads a better one than its own.
  (
    renice -n 0 -p "$BASHPID" >/dev/null
    exec systemd-nspawn --quiet --directory="$root" --machine="$machine" --register=no --keep-unit --link-journal=no \
      --boot --private-network --bind="$scratch/fuse:/dev/fuse" --bind="$cache/archives:/var/cache/apt/archives" --console=pipe
  ) </dev/null >>"$scratch/boot.log" 2>&1 &
  container_pid=$!
  local state="" _
  for _ in $(seq 600); do
    kill -0 "$container_pid" 2>/dev/null || { cat "$scratch/boot.log" >&2; die "systemd-nspawn cannot boot a container here"; }
    container_init=$(pgrep -P "$container_pid" || true)
    [ -z "$container_init" ] || state=$(inside systemctl is-system-running 2>/dev/null) || true
    case $state in
      running | degraded) return ;;
    esac
    sleep 0.1
  done
  cat "$scratch/boot.log" >&2
  die "the container's init is '$state' after a minute"
}

# shut_down: as at the end of a machine's day. Fails when something does not end.
shut_down() {
  local pid=$container_pid _
  inside systemctl poweroff --no-wall >/dev/null 2>&1 || true  # its connection ends with init
  for _ in $(seq 1200); do
    kill -0 "$pid" 2>/dev/null || { wait "$pid" || true; container_pid=""; return; }
    sleep 0.1
  done
  die "the container does not end within two minutes"
}

remove_container() {
  local _
  if [ -n "$container_pid" ]; then
    [ -z "${container_init:-}" ] || kill -9 "$container_init" 2>/dev/null  # takes everything in it along
    for _ in $(seq 100); do
      kill -0 "$container_pid" 2>/dev/null || break
      sleep 0.1
    done
    kill -9 "$container_pid" 2>/dev/null
  fi
  rmdir "/run/systemd/nspawn/propagate/$machine" 2>/dev/null
  rm -rf --one-file-system "$scratch"
}

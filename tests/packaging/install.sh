#!/bin/bash
# The Debian package in a fresh Debian 12 with its own systemd: installed with apt, its node started and mounted, the
# machine restarted, upgraded, removed and purged.
#   install.sh TREE BUILD
# The Debian is made once in $RINGFS_DEBIAN (BUILD/debian12). Needs root, /dev/fuse, and what examples/packages.sh test
# installs.
set -eu -o pipefail
tree=$(realpath "$1")
build=$(realpath "$2")
cache=${RINGFS_DEBIAN:-$build/debian12}
scratch=$(mktemp -d "${TMPDIR:-/tmp}/ringfs-install-XXXXXX")
source "$(dirname "$0")/container.sh"

clean_up() {
  local status=$?
  trap - EXIT INT TERM
  set +e
  [ $status -eq 0 ] || { [ -n "$container_pid" ] && inside journalctl --no-pager -n 40 -u ringfs-node -u 'srv-*' 2>/dev/null; }
  remove_container
  exit $status
}
trap clean_up EXIT
trap 'exit 130' INT TERM

[ "$(id -u)" = 0 ] || die "this test needs root"
[ -c /dev/fuse ] || die "this test needs /dev/fuse"
for program in debootstrap systemd-nspawn nsenter lintian; do
  command -v "$program" >/dev/null || die "there is no $program here: examples/packages.sh test"
done

# has WORDS COMMAND...: its output has them.
has() {
  local words=$1 output
  shift
  output=$("$@" 2>&1) || { echo "$output" >&2; die "$*"; }
  grep -qF -- "$words" <<<"$output" || { echo "$output" >&2; die "no '$words' in what this says: $*"; }
}
# refuses COMMAND...: it fails. Prints what it says.
refuses() {
  local output
  if output=$("$@" 2>&1); then die "should have failed: $*"; fi
  echo "$output"
}
show() { inside systemctl show --property="$1" --value "$2"; }
# becomes STATE UNIT: within 20 seconds.
becomes() {
  local _
  for _ in $(seq 100); do
    [ "$(show ActiveState "$2")" = "$1" ] && return
    sleep 0.2
  done
  die "$2 is '$(show ActiveState "$2")', not '$1'"
}
as_alice() { inside setpriv --reuid alice --regid alice --clear-groups "$@"; }

say "the package"
package=$("$tree/packaging/build-deb.sh" --build-dir "$build" "$scratch")
problems=$(lintian --allow-root --fail-on none "$package")
[ -z "$problems" ] || { echo "$problems" >&2; die "lintian"; }
exposure=$(systemd-analyze security --offline=true --no-pager "$tree/packaging/systemd/ringfs-node.service" | tail -n 1)
systemd-analyze security --offline=true --threshold=30 --no-pager "$tree/packaging/systemd/ringfs-node.service" >/dev/null ||
  die "the service may do too much: $exposure"
echo "$exposure"

say "a fresh Debian"
make_base
cp -a --reflink=auto "$cache/base" "$root"
cp "$package" "$root/ringfs.deb"
# Downloads only: in the container there is no network.
fetched=$(in_root apt-get install -y --no-install-recommends --download-only /ringfs.deb) ||
  { in_root apt-get update >/dev/null && fetched=$(in_root apt-get install -y --no-install-recommends --download-only /ringfs.deb); } ||
  { echo "$fetched" >&2; die "apt cannot fetch what the package needs"; }
boot
inside useradd --create-home alice
inside mkdir /srv/films /srv/again /srv/own
inside chown alice /srv/own

say "installed"
installed=$(inside apt-get install -y --no-install-recommends /ringfs.deb 2>&1) || { echo "$installed" >&2; die "apt install"; }
has "$(inside dpkg-query -W -f '${Version}' ringfs)" inside ringfs --version
[ "$(show ActiveState ringfs-node)" = inactive ] || die "the service was started by the installation"
[ "$(refuses inside systemctl is-enabled ringfs-node)" = disabled ] || die "the service was enabled by the installation"
has /usr/sbin/nologin inside getent passwd ringfs
for file in /usr/bin/ringfs /usr/bin/ringfs-node /sbin/mount.ringfs /sbin/mount.fuse.ringfs /sbin/umount.fuse.ringfs /usr/lib/ringfs/mount.ringfs \
  /etc/ringfs/node.conf /usr/share/bash-completion/completions/ringfs-node; do
  inside test -e "$file" || die "$file is missing"
done
has "unit_file_is_fine" inside sh -c 'systemd-analyze verify --man=no ringfs-node.service && echo unit_file_is_fine'

say "started"
inside systemctl enable --now ringfs-node || die "systemctl enable --now"
[ "$(show ActiveState ringfs-node)" = active ] || die "the service is '$(show ActiveState ringfs-node)'"
has "rpc=127.0.0.1:4000 rest=127.0.0.1:3000" show StatusText ringfs-node
refuses inside sh -c 'journalctl --no-pager -u ringfs-node | grep level=warning' || die "the sandbox takes something from the node"
node=$(show MainPID ringfs-node)
[ "$(inside ps -o user= -p "$node")" = ringfs ] || die "the node does not run as ringfs"
[ "$(inside stat -c '%U %a' /var/lib/ringfs)" = "ringfs 700" ] || die "/var/lib/ringfs: $(inside stat -c '%U %a' /var/lib/ringfs)"
# Groups elect their leaders first. One node is fewer than there are copies: `status` ends with 3, degraded.
for _ in $(seq 60); do
  state=$(inside ringfs status --node 127.0.0.1:4000 2>&1) || true
  grep -q ' 0 leaderless' <<<"$state" && break
  sleep 0.5
done
grep -q ' 0 leaderless' <<<"$state" || { echo "$state" >&2; die "the node has founded no ring"; }
has 127.0.0.1:4000 inside ringfs members --node 127.0.0.1:4000
has ringfs1. inside ringfs token create --role node --node 127.0.0.1:4000

say "mounted by fstab"
cat >"$root/etc/fstab" <<'END'
127.0.0.1:4000  /srv/films  ringfs  _netdev,nofail,allow_other,noexec,x-systemd.requires=ringfs-node.service,x-systemd.mount-timeout=160  0 0
127.0.0.1:4000  /srv/again  fuse.ringfs  noauto,ro,fsname=again  0 0
127.0.0.1:4000  /srv/own  ringfs  noauto,user,op_timeout=20  0 0
END
inside systemctl daemon-reload
inside systemctl start remote-fs.target
becomes active srv-films.mount
has fuse.ringfs inside findmnt -n -o FSTYPE /srv/films
has noexec inside findmnt -n -o OPTIONS /srv/films
inside sh -c 'echo films >/srv/films/list; cp /bin/true /srv/films/program; chmod 755 /srv/films /srv/films/program'
refuses inside /srv/films/program >/dev/null
[ "$(as_alice cat /srv/films/list)" = films ] || die "allow_other"
inside mount /srv/again || die "mount of the type fuse.ringfs"
has again inside findmnt -n -o SOURCE /srv/again
has nodev inside findmnt -n -o OPTIONS /srv/again
has "Read-only" refuses inside touch /srv/again/new
inside umount /srv/again || die "umount"
refuses inside mountpoint -q /srv/again
# umount returns when the mount process has ended: everything is in the ring.
inside mount -t ringfs -o allow_other 127.0.0.1:4000 /srv/again
inside dd if=/dev/urandom of=/srv/again/bytes bs=1M count=8 status=none
inside sha256sum /srv/again/bytes | cut -c1-64 >"$root/sum"
inside umount /srv/again || die "umount"
refuses inside pgrep -fa ' /srv/again' || die "umount returned before the mount process had ended"
inside mount -f -t ringfs 127.0.0.1:4000 /srv/again || die "mount -f"
refuses inside mountpoint -q /srv/again
[ "$(inside sha256sum /srv/films/bytes | cut -c1-64)" = "$(cat "$root/sum")" ] || die "other bytes"

say "mounted by a user of the machine"
refuses as_alice mount /srv/own >/dev/null
inside sed -i 's/^#open-loopback/open-loopback/' /etc/ringfs/node.conf
inside systemctl restart ringfs-node
becomes active srv-films.mount
inside chmod 1777 /srv/films
as_alice mount /srv/own || die "mount by a user"
has noexec inside findmnt -n -o OPTIONS /srv/own
as_alice sh -c 'echo hers >/srv/own/hers' || die "alice cannot write"
as_alice umount /srv/own || die "umount by a user"
[ "$(inside stat -c %U /srv/films/hers)" = alice ] || die "another owner"

say "killed, and restarted by systemd"
before=$(show MainPID ringfs-node)
inside kill -9 "$before"
for _ in $(seq 100); do
  now=$(show MainPID ringfs-node)
  [ "$now" != 0 ] && [ "$now" != "$before" ] && [ "$(show ActiveState ringfs-node)" = active ] && break
  sleep 0.2
done
[ "$now" != "$before" ] || die "the service was not restarted"
becomes active srv-films.mount
[ "$(inside cat /srv/films/list)" = films ] || die "a file is gone"

say "wrong configuration"
inside sh -c 'echo "lisen = 127.0.0.1:1" >>/etc/ringfs/node.conf'
refuses inside systemctl restart ringfs-node >/dev/null
[ "$(show ExecMainStatus ringfs-node)" = 2 ] || die "exit status $(show ExecMainStatus ringfs-node)"
[ "$(show ActiveState ringfs-node)" = failed ] || die "the service is '$(show ActiveState ringfs-node)': it is started again and again"
has "/etc/ringfs/node.conf: unknown key 'lisen'" inside journalctl --no-pager -u ringfs-node
inside sed -i '/^lisen/d' /etc/ringfs/node.conf
inside systemctl start ringfs-node

say "the machine is restarted"
shut_down
boot
becomes active ringfs-node
becomes active srv-films.mount
[ "$(inside cat /srv/films/list)" = films ] || die "a file is gone"
[ "$(inside sha256sum /srv/films/bytes | cut -c1-64)" = "$(cat "$root/sum")" ] || die "other bytes"

say "installed again, as an upgrade is"
before=$(show MainPID ringfs-node)
installed=$(inside apt-get install -y --reinstall /ringfs.deb 2>&1) || { echo "$installed" >&2; die "apt install --reinstall"; }
becomes active ringfs-node
[ "$(show MainPID ringfs-node)" != "$before" ] || die "the old program still runs"
has "open-loopback = true" inside grep ^open-loopback /etc/ringfs/node.conf
has enabled inside systemctl is-enabled ringfs-node

say "removed"
inside systemctl stop srv-films.mount
removed=$(inside apt-get remove -y ringfs 2>&1) || { echo "$removed" >&2; die "apt remove"; }
refuses inside pgrep -x ringfs-node
inside test ! -e /usr/bin/ringfs-node || die "the program is still there"
inside test -e /etc/ringfs/node.conf || die "apt remove took the configuration"

say "purged"
removed=$(inside apt-get purge -y ringfs 2>&1) || { echo "$removed" >&2; die "apt purge"; }
left=$(inside find / -xdev -name '*ringfs*' -not -path '/proc/*' -not -path '/var/lib/ringfs*' -not -path '/ringfs.deb' -not -path '/tmp/*')
[ -z "$left" ] || die "left behind: $left"
[ -n "$(inside ls /var/lib/ringfs)" ] || die "apt purge took the data"
has ringfs inside getent passwd ringfs
shut_down

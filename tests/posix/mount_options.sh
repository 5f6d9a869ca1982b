#!/bin/bash
# The options of mount(8): those for the kernel take effect, others are accepted, impossible ones are refused. The sources of two rings'
# mounts differ, and mount(8) mounts as for a line of fstab.
source "$(dirname "$0")/lib.sh"
start_ring 3
nodes=$(addresses)
here_too=$scratch/second
mkdir "$here_too"
extra_mounts+=("$here_too")

# mounted_with OPTIONS: the ring once more, at $here_too.
mounted_with() {
  "$ringfs" mount "$nodes" "$here_too" -o "$1" >"$scratch/mount.out" 2>&1 || { cat "$scratch/mount.out"; die "-o $1 is refused"; }
}
unmounted() { "$ringfs" umount "$here_too" || die "umount"; }
# shows OPTION...: the kernel lists them.
shows() {
  local options option
  options=,$(findmnt -n -o OPTIONS "$here_too"),
  for option in "$@"; do [[ "$options" == *",$option,"* ]] || die "'$option' is not among $options"; done
}

say "sources"
first=$(jq -r '.nodes[0].rpc' "$state/ring.json")
[ "$(findmnt -n -o SOURCE "$mnt")" = "$first" ] || die "up: the source is $(findmnt -n -o SOURCE "$mnt")"
df "$mnt" | grep -q "^$first " || die "df: $(df "$mnt")"
mounted_with defaults
[ "$(findmnt -n -o SOURCE "$here_too")" = "$nodes" ] || die "mount: the source is $(findmnt -n -o SOURCE "$here_too")"
[ "$(findmnt -n -o FSTYPE "$here_too")" = fuse.ringfs ] || die "another type"
shows rw nosuid nodev relatime
unmounted
mounted_with "fsname=films and more"
[ "$(findmnt -n -o SOURCE "$here_too")" = "films and more" ] || die "fsname: the source is $(findmnt -n -o SOURCE "$here_too")"
unmounted

say "what the kernel carries out"
cp /bin/true "$mnt/program"
cp /usr/bin/id "$mnt/setuid"
chmod 4755 "$mnt/setuid"
mknod "$mnt/null" c 1 3
chmod 666 "$mnt/null"
chmod 755 "$mnt"
as_nobody() { setpriv --reuid 65534 --regid 65534 --clear-groups "$@"; }
mounted_with allow_other,dev,suid,exec,noatime,rw
shows rw noatime
[[ ",$(findmnt -n -o OPTIONS "$here_too")," != *,nosuid,* ]] || die "nosuid although suid was asked for"
[[ ",$(findmnt -n -o OPTIONS "$here_too")," != *,nodev,* ]] || die "nodev although dev was asked for"
echo into >"$here_too/null" || die "a device does not work with dev"
chmod 711 "$scratch"
[ "$(as_nobody "$here_too/setuid" -u)" = 0 ] || die "setuid does not work with suid: $(as_nobody "$here_too/setuid" -u)"
"$here_too/program" || die "a program does not run"
unmounted
mounted_with allow_other,nodev,nosuid,noexec,relatime
shows nodev nosuid noexec relatime
(echo into >"$here_too/null") 2>/dev/null && die "a device works with nodev"
"$here_too/program" 2>/dev/null && die "a program runs with noexec"
unmounted
mounted_with allow_other
[ "$(as_nobody "$here_too/setuid" -u)" = 65534 ] || die "setuid works although nobody asked for suid"
unmounted
mounted_with ro
(echo x >"$here_too/new") 2>/dev/null && die "a write with ro"
unmounted
mounted_with sync,dirsync
shows sync dirsync
unmounted

say "what is meant for others"
mounted_with _netdev,nofail,user,noauto,x-systemd.automount,comment=films,async
[[ ",$(findmnt -n -o OPTIONS "$here_too")," != *,noexec,* ]] || die "user alone made it noexec"
unmounted

say "what cannot be"
expect_failure "$ringfs" mount "$nodes" "$here_too" -o subtype=other | grep -q "fuse.ringfs" || die "subtype"
expect_failure "$ringfs" mount "$nodes" "$here_too" -o strictatime | grep -q "unknown mount option 'strictatime'" || die "strictatime"

say "mount(8): through mount.fuse3, and with a link of its own"
# With the type fuse.ringfs mount(8) finds ringfs in the system's directories; the path names this build.
mount -t fuse "$ringfs#$nodes" "$here_too" -o rw,_netdev,nodev,noatime,allow_other || die "mount -t fuse"
shows nodev noatime
[ "$(findmnt -n -o SOURCE "$here_too")" = "$nodes" ] || die "mount(8): the source is $(findmnt -n -o SOURCE "$here_too")"
"$here_too/program"
umount "$here_too"
mkdir "$scratch/sbin"
ln -s "$ringfs" "$scratch/sbin/mount.ringfs"
"$scratch/sbin/mount.ringfs" "$nodes" "$here_too" -n -v -o ro || die "mount.ringfs"
shows ro
umount "$here_too"
expect_failure "$scratch/sbin/mount.ringfs" "$nodes" | grep -q usage || die "mount.ringfs without a directory"

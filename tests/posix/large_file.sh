#!/bin/bash
# A large file with its checksum: RINGFS_LARGE_MB (default 1024) megabytes, written, read cold, overwritten in the middle, removed.
source "$(dirname "$0")/lib.sh"
megabytes=${RINGFS_LARGE_MB:-1024}
start_ring 3
say "$megabytes MB"
mkfifo "$scratch/to-sum"
sha256sum <"$scratch/to-sum" >"$scratch/sum.in" &
summer=$!
head -c $((megabytes << 20)) /dev/zero | openssl enc -aes-128-ctr -K 00112233445566778899aabbccddeeff -iv 00000000000000000000000000000000 |
  tee "$scratch/to-sum" >"$mnt/large"
wait "$summer"
sync "$mnt/large"
[ "$(stat -c %s "$mnt/large")" = $((megabytes << 20)) ] || die "size $(stat -c %s "$mnt/large")"
echo 3 >/proc/sys/vm/drop_caches
say "read it back"
[ "$(sha256sum <"$mnt/large")" = "$(cat "$scratch/sum.in")" ] || die "other contents"
say "through another mount"
second_mount "$scratch/other"
printf 'patched' | dd of="$mnt/large" bs=1 seek=1234567 conv=notrunc status=none
[ "$(dd if="$scratch/other/large" bs=1 skip=1234567 count=7 status=none)" = patched ] || die "the patch does not show"
rm "$mnt/large"
[ ! -e "$scratch/other/large" ] || die "still there on the other mount"

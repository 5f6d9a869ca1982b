#!/bin/bash
# Runs shellcheck over every shell script, by .shellcheckrc.
set -eu
source "$(dirname "$0")/lib.sh"
cd "$1"
scripts=$(tracked '*.sh' .ci/run packaging/completion/ringfs packaging/mount.ringfs packaging/umount.fuse.ringfs packaging/debian/ringfs.prerm)
# shellcheck disable=SC2086 # a list of words
shellcheck -S warning $scripts

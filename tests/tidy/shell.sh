#!/bin/bash
# Runs shellcheck over every shell script, by .shellcheckrc.
set -eu
cd "$1"
scripts=$(git -c safe.directory='*' ls-files '*.sh' .ci/run)
[ -n "$scripts" ] || { echo "git lists no scripts in $1"; exit 1; }
# shellcheck disable=SC2086 # a list of words
shellcheck -S warning $scripts

#!/bin/bash
# Every C++ file is as clang-format (that of Debian 12) writes it by .clang-format.
set -eu
source "$(dirname "$0")/lib.sh"
cd "$1"
files=$(tracked '*.hpp' '*.cpp')
# shellcheck disable=SC2016 # the inner shell's
bad=$(xargs -P "$(nproc)" -n 40 bash -c 'for file; do clang-format --style=file "$file" | cmp -s - "$file" || echo "$file"; done' _ <<<"$files")
[ -z "$bad" ] || { echo "not formatted (clang-format -i FILE):"; sort <<<"$bad"; exit 1; }

#!/bin/bash
# Every C++ file is as clang-format (that of Debian 12) writes it by .clang-format.
set -eu
cd "$1"
files=$(git -c safe.directory='*' ls-files '*.hpp' '*.cpp' | while read -r file; do [ ! -e "$file" ] || echo "$file"; done)
[ -n "$files" ] || { echo "git lists no files in $1"; exit 1; }
# shellcheck disable=SC2016 # the inner shell's
bad=$(xargs -P "$(nproc)" -n 40 bash -c 'for file; do clang-format --style=file "$file" | cmp -s - "$file" || echo "$file"; done' _ <<<"$files")
[ -z "$bad" ] || { echo "not formatted (clang-format -i FILE):"; sort <<<"$bad"; exit 1; }

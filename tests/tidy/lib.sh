# shellcheck shell=bash
# Shared by the checks of this folder.

# tracked PATTERN...: the files that git tracks and that exist. Fails when there is none. safe.directory is for root in another user's
# checkout, where git refuses "dubious ownership".
tracked() {
  local listed found
  listed=$(git -c safe.directory='*' ls-files -- "$@") || return 1
  found=$(while read -r file; do [ ! -e "$file" ] || echo "$file"; done <<<"$listed")
  [ -n "$found" ] || { echo "git lists no files $* in $PWD" >&2; return 1; }
  echo "$found"
}

# shellcheck shell=bash
# What the checks of this folder share.

# tracked PATTERN...: the files that git knows and that are there; what was deleted and not yet committed is left out. Fails when there
# is none. As root in somebody else's checkout, git refuses "dubious ownership" unless told.
tracked() {
  local listed found
  listed=$(git -c safe.directory='*' ls-files -- "$@") || return 1
  found=$(while read -r file; do [ ! -e "$file" ] || echo "$file"; done <<<"$listed")
  [ -n "$found" ] || { echo "git lists no files $* in $PWD" >&2; return 1; }
  echo "$found"
}

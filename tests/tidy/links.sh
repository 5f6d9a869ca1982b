#!/bin/bash
# Fails on a relative link of a Markdown file to a file or a heading that does not exist, and on a path of the tree in backticks, in
# docs/ or at the top level, that does not exist; likewise on a document, a heading or a source file that code names and that is missing.
# Argument: the source tree.
#
# A path may be written without its ending (`dht/net/runtime/driver` is driver.hpp and driver.cpp). Left out: fenced code, paths
# with wildcards or placeholders, and Linux's own sources under fs/fuse/.
set -eu
source "$(dirname "$0")/lib.sh"
cd "$1"
files=$(tracked '*.md')
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# The lines of a document outside of fenced code.
prose() { awk '/^ *```/ { fenced = !fenced; next } !fenced' "$1"; }

# The anchors of a document's headings, as GitHub makes them: lower case, without punctuation, spaces as hyphens; a repeated
# heading gets a number.
anchors() {
  prose "$1" | sed -nE 's/^#{1,6} +//p' | sed -E 's/\[([^]]*)\]\([^)]*\)/\1/g; s/ +#* *$//' | tr '[:upper:]' '[:lower:]' |
    sed -E 's/[^a-z0-9 _-]//g; s/ /-/g' | awk '{ print seen[$0]++ ? $0 "-" seen[$0] - 1 : $0 }'
}

# The targets of a document's links, without those in inline code.
targets() { prose "$1" | sed -E 's/`[^`]*`/``/g' | grep -oE '\]\([^)]*\)' | sed -E 's/^\]\(//; s/\)$//; s/ +"[^"]*"$//' || true; }

# The paths in a document's inline code; of several words the first one.
paths() {
  prose "$1" | grep -oE '`[^`]+`' | tr -d '`' | awk '{ print $1 }' | grep -E '^(dht|fs|nodes|mount|tests|docs|examples|packaging)/' |
    grep -vE '[][*?{}<>$]|^fs/fuse/|/[A-Z]+(/|$)' | sed -E 's/[:#].*$//' || true
}

for file in $files; do
  folder=$(dirname "$file")
  for target in $(targets "$file"); do
    case "$target" in
      *://* | mailto:*) continue ;;
    esac
    path=${target%%#*}
    whole=${path:+$folder/$path}
    whole=${whole:-$file}
    if [ ! -e "$whole" ]; then
      echo "$file: a link to a file that is not there: $target"
      continue
    fi
    case "$target" in
      *'#'*) anchors "$whole" | grep -qxF -- "${target#*#}" || echo "$file: a link to a heading that is not there: $target" ;;
    esac
  done
  case "$file" in
    docs/*.md) ;;
    */*) continue ;;
  esac
  for path in $(paths "$file" | sort -u); do
    [ -e "$path" ] || [ -e "$path.hpp" ] || [ -e "$path.cpp" ] || echo "$file: a path that is not there: $path"
  done
done >"$scratch/found"

# Citations in code: documents with their headings, files by their path, files by their name alone.
code=$(tracked '*.hpp' '*.cpp' '*.proto' '*.sh' '*.py' '*.txt')
everything=$(tracked; git -c safe.directory='*' ls-files --others --exclude-standard)
# cited PATTERN: FILE:MATCH of every place, each once.
# shellcheck disable=SC2086 # a list of words
cited() { grep -oE "$1" $code /dev/null | sort -u; }
{
  cited '\b(docs/[a-z-]+\.md|CONTRIBUTING\.md)(#[a-z0-9-]+)?' | while IFS=: read -r file target; do
    if [ ! -e "${target%%#*}" ]; then
      echo "$file: a document that is not there: $target"
    elif [ "$target" != "${target%%#*}" ] && ! anchors "${target%%#*}" | grep -qxF -- "${target#*#}"; then
      echo "$file: a heading that is not there: $target"
    fi
  done
  cited '\b(dht|fs|nodes|mount|tests|examples|packaging)/[a-z_/-]+\.(hpp|cpp|proto|sh|py)\b' | while IFS=: read -r file target; do
    [ -e "$target" ] || [[ "$target" = *.pb.* ]] || echo "$file: a file that is not there: $target"
  done
  # In comments only.
  # shellcheck disable=SC2046,SC2086 # a list of words
  grep -oE '//.*' $(grep -E '\.(hpp|cpp)$' <<<"$code") /dev/null | sed -nE 's/^([^:]*):(.*)$/\1 \2/p' |
    grep -oE '^[^ ]+|[^a-z_/.][a-z_]+\.(hpp|cpp)\b' | awk '/^[a-z].*\// { file = $0; next } { print file ":" substr($0, 2) }' | sort -u |
    while IFS=: read -r file target; do
      grep -qE "(^|/)$target\$" <<<"$everything" || echo "$file: a file that nobody has: $target"
    done
  cited 'design §? ?[0-9][0-9.]*|the convention[s]\b' | sed 's/$/: cites a document that is not in the repository/'
} >>"$scratch/found"
sort -u "$scratch/found"
[ ! -s "$scratch/found" ]

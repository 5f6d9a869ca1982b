#!/bin/sh
# Builds RingFS and runs its tests through CTest. The only command needed on a fresh Debian 12 (as root or with sudo).
#   tests/run.sh [--sanitizers] [--nightly] [ctest arguments...]
# The release build with warnings as errors, and all tests but those with the label `nightly` (build/release). With --sanitizers, before
# that, the unit and fuzz tests under AddressSanitizer and UndefinedBehaviorSanitizer (build/asan). With --nightly the others, which
# take about an hour.
set -eu
cd "$(dirname "$0")/.."

sanitizers=no
selection=-LE
while :; do
  case ${1:-} in
    --sanitizers) sanitizers=yes ;;
    --nightly) selection=-L ;;
    *) break ;;
  esac
  shift
done

echo "== packages"
examples/packages.sh test

# Mounted tests need a FUSE device and root.
run=""
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || { echo "tests/run.sh: the mounted tests need root: run as root or install sudo" >&2; exit 1; }
  run="sudo -E"
fi
[ -c /dev/fuse ] || { echo "tests/run.sh: /dev/fuse is missing: load the fuse module" >&2; exit 1; }

jobs=$(nproc)

if [ "$sanitizers" = yes ]; then
  echo "== build under the sanitizers"
  cmake --preset asan >/dev/null
  cmake --build --preset asan -j "$jobs"
  echo "== unit and fuzz tests under the sanitizers"
  $run ctest --preset asan -j "$jobs" -L 'unit|fuzz'
fi

echo "== build"
cmake --preset release -DRINGFS_WERROR=ON >/dev/null
cmake --build --preset release -j "$jobs"
echo "== tests"
# The long ones wait more than they compute.
$run ctest --preset release -j "$((jobs + jobs / 2))" $selection nightly "$@"

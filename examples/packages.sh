#!/bin/sh
# Installs the Debian 12 packages that RingFS needs. Sourced or run by quickstart.sh and tests/run.sh.
#   packages.sh build|test
# `build`: the packages to build and run RingFS. `test`: also those of the tests. Does nothing when all are installed.
set -eu

build_packages="
  build-essential cmake ninja-build ccache lld pkg-config ca-certificates procps
  libboost1.81-dev libssl-dev libfuse3-dev fuse3 libsqlite3-dev nlohmann-json3-dev
  libprotobuf-dev protobuf-compiler libexpected-dev libcli11-dev libspdlog-dev
  prometheus-cpp-dev libcurl4-openssl-dev zlib1g-dev libxxhash-dev libgtest-dev libgmock-dev librapidcheck-dev"
test_packages="
  git sqlite3 tar curl jq python3 attr fio util-linux bsdutils e2fsprogs iproute2 clang libclang-rt-14-dev mount coreutils diffutils libbenchmark-dev faketime
  clang-format clang-tidy shellcheck openssl
  debhelper bash-completion scdoc lintian debootstrap systemd-container"

case "${1:-build}" in
  build) wanted=$build_packages ;;
  test) wanted="$build_packages $test_packages" ;;
  *) echo "usage: packages.sh build|test" >&2; exit 2 ;;
esac

missing=""
for package in $wanted; do
  dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing="$missing $package"
done
if [ -z "$missing" ]; then
  echo "packages: all installed"
  exit 0
fi

root=""
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || { echo "packages.sh: run as root or install sudo; missing:$missing" >&2; exit 1; }
  root=sudo
fi
echo "packages: installing$missing"
$root apt-get update -qq
# shellcheck disable=SC2086 # a list of words
$root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null

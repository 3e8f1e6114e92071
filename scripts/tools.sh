#!/bin/sh
# Installs the programs that tests and demo call, where that is possible: as root
# with apt. Elsewhere it says what is missing; those parts are then left out.
#
#   scripts/tools.sh       what everything needs
#   scripts/tools.sh vm    and what virtual machines and their images need
set -eu

# A normal user has the tools of administrators too, but not in PATH.
PATH="$PATH:/usr/sbin:/sbin"

missing=
need() { command -v "$1" >/dev/null 2>&1 || missing="$missing $2"; }
need git git
need curl curl
need unshare util-linux
need script bsdutils
need ip iproute2
if [ "${1:-}" = vm ] && [ "$(uname -s)-$(uname -m)" = Linux-x86_64 ]; then
  need qemu-system-x86_64 qemu-system-x86
  need qemu-img qemu-utils
  need slirp4netns slirp4netns
  need socat socat
  need mmdebstrap mmdebstrap
  need mke2fs e2fsprogs
  need debugfs e2fsprogs
  need setpriv util-linux
  if [ "$(id -u)" != 0 ]; then
    need fakeroot fakeroot
    need newuidmap uidmap
  fi
fi

[ -n "$missing" ] || exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
  echo "installing:$missing"
  export DEBIAN_FRONTEND=noninteractive
  # shellcheck disable=SC2086 # a list of words
  if { apt-get update -qq && apt-get install -y -qq --no-install-recommends $missing; } >/dev/null 2>&1; then
    exit 0
  fi
fi
echo "SKIPPED: could not install$missing; what needs them is left out" >&2

#!/bin/sh
# Installs the programs that tests and demo call, where that is possible: as root
# with apt. Elsewhere it says what is missing; those parts are then left out.
set -eu

missing=
need() { command -v "$1" >/dev/null 2>&1 || missing="$missing $2"; }
need git git
need curl curl
need unshare util-linux
need script bsdutils
need ip iproute2

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

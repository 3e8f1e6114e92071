#!/bin/sh
# Puts `vm-agent` on PATH and makes the documented folders under the home, both
# pointing at this checkout. Run again at any time; `--uninstall` takes it back.
#
#   PREFIX         where bin/vm-agent goes; default /usr/local, or ~/.local when
#                  that is not writable
#   VM_AGENT_HOME  the home; default ~/.openclaw/workspace/vm-agent-system
set -eu

checkout=$(cd "$(dirname "$0")/.." && pwd -P)
home=${VM_AGENT_HOME:-$HOME/.openclaw/workspace/vm-agent-system}
marker=.installed-by-make-install
made='README.md ARCHITECTURE.md cli/vm-agent hub/package.json'

fail() {
  echo "error: $1" >&2
  echo "hint: $2" >&2
  exit 1
}

bin_dir() {
  if [ -n "${PREFIX:-}" ]; then
    echo "$PREFIX/bin"
  elif [ -w /usr/local/bin ] || { [ ! -e /usr/local/bin ] && [ -w /usr/local ]; }; then
    echo /usr/local/bin
  else
    echo "$HOME/.local/bin"
  fi
}

# Quotes a text for the shell.
quoted() { printf "'%s'" "$(printf '%s' "$1" | sed "s/'/'\\\\''/g")"; }

# A launcher in place of a link: it finds this checkout from any folder.
write_launcher() { # file, line before exec
  printf '#!/bin/sh\n# Made by make install.\n%sexec %s "$@"\n' "$2" "$(quoted "$checkout/cli/vm-agent")" >"$1.new"
  chmod 755 "$1.new"
  mv "$1.new" "$1"
}

ours() { [ -f "$1" ] && grep -q '^# Made by make install\.$' "$1"; }

refuse_foreign_home() {
  [ -e "$home/$marker" ] && return
  for name in .git package.json $made hub cli; do
    if [ -e "$home/$name" ]; then
      fail "$home holds a $name that make install did not put there" \
        "move that checkout away, or choose another home with VM_AGENT_HOME"
    fi
  done
}

install_all() {
  bin=$(bin_dir)
  if [ -e "$bin/vm-agent" ] && ! ours "$bin/vm-agent"; then
    fail "$bin/vm-agent is another program" "remove it, or choose another place with PREFIX"
  fi
  refuse_foreign_home
  mkdir -p "$bin" "$home"
  chmod 700 "$home"
  printf '%s\n' "$checkout" >"$home/$marker"
  mkdir -p "$home/cli" "$home/hub"
  write_launcher "$bin/vm-agent" ''
  write_launcher "$home/cli/vm-agent" \
    'VM_AGENT_HOME=$(cd "$(dirname "$0")/.." && pwd -P)
export VM_AGENT_HOME
'
  cat >"$home/hub/package.json" <<'JSON'
{
  "name": "vm-agent-hub",
  "private": true,
  "scripts": { "start": "exec ../cli/vm-agent hub" }
}
JSON
  cp "$checkout/README.md" "$home/README.md"
  cp "$checkout/docs/ARCHITECTURE.md" "$home/ARCHITECTURE.md"
  echo "installed $bin/vm-agent"
  echo "home      $home"
  case ":$PATH:" in
    *":$bin:"*) ;;
    *) echo "hint: $bin is not on PATH; add it: export PATH=\"$bin:\$PATH\"" ;;
  esac
}

uninstall_all() {
  bin=$(bin_dir)
  if ours "$bin/vm-agent"; then rm "$bin/vm-agent"; fi
  if [ -e "$home/$marker" ]; then
    for name in $made; do rm -f "$home/$name"; done
    rmdir "$home/cli" "$home/hub" 2>/dev/null || true
    rm "$home/$marker"
  fi
  echo "removed what make install put into $bin and $home; data and logs stay there"
}

case "${1:-}" in
  '') install_all ;;
  --uninstall) uninstall_all ;;
  *) fail "unknown argument $1" "scripts/install.sh [--uninstall]" ;;
esac

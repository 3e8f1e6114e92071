#!/bin/sh
# The checks that need no running hub, cheapest first; the first failure ends it.
set -eu
cd "$(dirname "$0")/.."
PATH="$PWD/node_modules/.bin:$PATH"
export PATH

step() { printf '\n== %s\n' "$1"; }

step 'gen/ is what make gen makes'
before=$(mktemp -d)
trap 'rm -rf "$before"' EXIT
cp -R gen "$before/"
scripts/gen.sh
if ! diff -r "$before/gen" gen; then
  echo 'error: gen/ is not what proto/ makes; commit what `make gen` wrote' >&2
  exit 1
fi

step 'buf lint'
buf lint
step 'buf format'
buf format --diff --exit-code --exclude-path proto/google

step 'buf breaking'
# On main itself the state before the last commit is what must not break.
head=$(git rev-parse HEAD 2>/dev/null || echo none)
baseline=
for ref in origin/main main HEAD^; do
  commit=$(git rev-parse --verify --quiet "$ref^{commit}") || continue
  [ "$commit" != "$head" ] || continue
  if git cat-file -e "$ref:gen/descriptors.binpb" 2>/dev/null; then
    baseline=$ref
    break
  fi
done
if [ -n "$baseline" ]; then
  git show "$baseline:gen/descriptors.binpb" >"$before/main.binpb"
  buf breaking proto --against "$before/main.binpb"
  echo "compatible with $baseline"
else
  echo 'SKIPPED: buf breaking has no baseline, because no earlier commit on origin/main or main holds gen/descriptors.binpb'
fi

step 'types'
tsc --noEmit -p .
step 'format and lint'
biome check --error-on-warnings
step 'import directions'
mocha --no-config --node-option import=tsx --reporter dot test/unit/architecture.spec.ts

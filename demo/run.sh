#!/usr/bin/env bash
# Shows the system at work, on a hub of its own that is gone afterwards.
# KEEP=1 leaves hub and agent running to play with. PROVIDER=qemu does all of it in a virtual machine.
set -euo pipefail

checkout=$(cd "$(dirname "$0")/.." && pwd -P)
demo_home=$(mktemp -d "${TMPDIR:-/tmp}/vm-agent-demo.XXXXXX")
export VM_AGENT_HOME=$demo_home/home NO_COLOR=1
PATH="$checkout/cli:$PATH"
keep=${KEEP:-}
provider=${PROVIDER:-local}
agent=demo
started=$SECONDS
step_number=0
hub_pid=
git_pid=

say() { printf '%s\n' "$*"; }
fail() {
  say "error: $*" >&2
  exit 1
}
indent() { sed 's/^/  | /'; }

step() {
  step_number=$((step_number + 1))
  printf '\n%2d. %s\n' "$step_number" "$1"
}

# Shows a command as one would type it, then runs it.
run() {
  show "$@"
  "$@" 2>&1 | indent
}

# The same for one that answers a task in JSON, of which only the gist is shown.
run_task() {
  show "$@"
  "$@" 2>"$demo_home/messages" | gist | indent || {
    indent <"$demo_home/messages"
    return 1
  }
}

# State, exit code and last output of a task. Fails unless the task succeeded.
gist() {
  node --input-type=module -e '
    let text = "";
    for await (const chunk of process.stdin) text += chunk;
    const answer = JSON.parse(text);
    const task = answer.task ?? answer;
    const { exitCode, stdoutTail, stderrTail, result, ...outcome } = task.outcome ?? task;
    console.log(exitCode === undefined ? task.state : `${task.state}, exit code ${exitCode}`);
    if (result?.commit) console.log(`${result.destination} is at ${result.commit}, branch ${result.branch}`);
    const lines = stdoutTail.split("\n").filter((line) => /\S/.test(line));
    if (lines.length > 0) console.log(lines.slice(-9).join("\n"));
    if (task.state === "SUCCEEDED") process.exit(0);
    console.log(outcome.reason, outcome.message, stderrTail);
    process.exit(1);
  '
}

show() {
  local shown='' word
  for word in "$@"; do
    if [[ $word =~ ^[A-Za-z0-9_./:=@,-]+$ ]]; then shown+=" $word"; else shown+=" '${word//\'/\'\\\'\'}'"; fi
  done
  say "  \$$shown"
}

# Ends a process that this script started: politely, then for sure.
stop() { # pid
  [ -n "$1" ] || return 0
  kill "$1" 2>/dev/null || return 0
  for _ in $(seq 150); do
    kill -0 "$1" 2>/dev/null || break
    sleep 0.1
  done
  kill -9 "$1" 2>/dev/null || true
  wait "$1" 2>/dev/null || true
}

clean_up() {
  local code=$? sockets
  trap - EXIT INT TERM
  stop "$git_pid"
  if [ "$code" != 0 ] && [ -s "$demo_home/hub.log" ]; then
    say 'the last words of the hub:' >&2
    tail -n 20 "$demo_home/hub.log" >&2
  fi
  if [ "$code" = 0 ] && [ -n "$keep" ]; then
    say "hub and agent still run (KEEP=$keep). To use them:"
    say "  export VM_AGENT_HOME=$VM_AGENT_HOME VM_AGENT_HUB=$VM_AGENT_HUB"
    say 'To end them:'
    say "  vm-agent destroy $agent --force; kill $hub_pid; rm -rf $demo_home"
    exit 0
  fi
  if [ -n "$hub_pid" ]; then
    vm-agent destroy "$agent" --force >/dev/null 2>&1 || true
    stop "$hub_pid"
    # The hub keeps the directory of its sockets for its machines; these are gone.
    sockets=$(sed -n 's|^ *agents *unix:\(/.*/vm-agent-[0-9]*/[0-9a-f]*\)/door/hub.sock$|\1|p' "$demo_home/hub.log" | tail -n 1)
    [ -z "$sockets" ] || rm -rf "$sockets"
  fi
  rm -rf "$demo_home"
  exit "$code"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

# Prints ports for gRPC, HTTP, dashboard and git: the documented ones when they are free.
choose_ports() {
  node --input-type=module -e '
    import { createServer } from "node:net";
    const listen = (port) => new Promise((resolve) => {
      const server = createServer().once("error", () => resolve(undefined));
      server.listen(port, "127.0.0.1", () => resolve(server));
    });
    const known = await Promise.all([9090, 9091, 9092].map(listen));
    const free = known.every((server) => server !== undefined);
    const servers = free ? known : await Promise.all([0, 0, 0].map(listen));
    const git = await listen(0);
    console.log([...servers, git].map((server) => server.address().port).join(" "));
    for (const server of [...known, ...servers, git]) server?.close();
  '
}

wait_until_healthy() {
  node --input-type=module -e '
    const deadline = Date.now() + 30_000;
    for (;;) {
      const answer = await fetch(process.argv[1]).then((res) => res.ok, () => false);
      if (answer) break;
      if (Date.now() > deadline) process.exit(1);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  ' "$1"
}

work=$demo_home/work
make_project() {
  cp -R "$checkout/demo/project" "$work"
  git -C "$work" init --quiet --initial-branch=main
  git -C "$work" add .
  git -C "$work" -c user.name=demo -c user.email=demo@localhost commit --quiet -m 'a small project'
}

# Images take minutes to build and are kept beside what else this checkout keeps.
use_image() {
  local kept=$checkout/node_modules/.cache/vm-agent/demo-images
  mkdir -p "$kept" "$VM_AGENT_HOME"
  ln -s "$kept" "$VM_AGENT_HOME/images"
  if ! vm-agent image list --json | grep -q '"default"'; then
    run vm-agent image build
  fi
  run vm-agent image list
}

# A server of git repositories on this computer, in place of one on the internet.
serve_project() { # port
  make_project
  git clone --quiet --bare "$work" "$demo_home/git/project"
  "$(git --exec-path)/git-daemon" --listen=127.0.0.1 --port="$1" --export-all \
    --base-path="$demo_home/git" "$demo_home/git" >"$demo_home/git.log" 2>&1 &
  git_pid=$!
}

# For a machine that reaches nothing of this computer: the repository as one file, handed over in a task.
send_project() {
  make_project
  git -C "$work" bundle create --quiet "$demo_home/project.bundle" HEAD main
  base64 --wrap=0 "$demo_home/project.bundle" |
    sed 's|.*|{"type":"file:write","filePath":"/opt/project.bundle","encoding":"base64","content":"&"}|' \
      >"$demo_home/file.json"
  say "  \$ vm-agent task $agent - --wait <file.json    # a file:write of project.bundle"
  vm-agent task "$agent" - --wait <"$demo_home/file.json" 2>"$demo_home/messages" | gist | indent
}

# One REST call, by curl where there is one.
post_task() { # body
  local url=http://localhost:$http_port/agents/$agent/task
  if command -v curl >/dev/null; then
    run_task curl --silent --show-error --fail-with-body --max-time 60 -X POST "$url" \
      -H 'Content-Type: application/json' -d "$1"
    return
  fi
  say '  (there is no curl here, so Node.js posts it)'
  run_task node --input-type=module -e '
    const [url, body] = process.argv.slice(1);
    const res = await fetch(url, { method: "POST", headers: { "Content-Type": "application/json" }, body });
    console.log(await res.text());
    process.exitCode = res.ok ? 0 : 1;
  ' "$url" "$1"
}

read -r grpc_port http_port dashboard_port git_port < <(choose_ports)
export VM_AGENT_GRPC_PORT=$grpc_port HTTP_PORT=$http_port DASHBOARD_PORT=$dashboard_port
export VM_AGENT_HUB=localhost:$grpc_port
command -v git >/dev/null || fail 'the demo clones a repository, and there is no git here; please install git'

say 'vm-agent-system, a demonstration. Lines with $ are what you could type yourself.'
[ "$grpc_port" = 9090 ] || say 'The usual ports 9090 to 9092 are taken here, so this hub listens on others.'

if [ "$provider" = qemu ]; then
  step 'What this computer has for virtual machines, and an image for them'
  run vm-agent doctor || fail 'virtual machines do not work here yet; the lines above say what mends it'
  use_image
fi

step 'Start a hub'
say '  $ vm-agent hub'
vm-agent hub >"$demo_home/hub.log" 2>&1 &
hub_pid=$!
wait_until_healthy "http://localhost:$http_port/healthz" || fail 'the hub did not become healthy within 30 s'
say "  | REST http://localhost:$http_port   gRPC localhost:$grpc_port   dashboard http://localhost:$dashboard_port"

step 'Create an agent, with a place of its own where tasks run'
size=()
[ "$provider" = local ] || size=(--cpu 2 --memory 1G --disk 8G)
run vm-agent create "$agent" --provider "$provider" "${size[@]}"
run vm-agent list

step 'exec: a command, its output as it comes, its exit code'
run vm-agent exec "$agent" -- sh -c 'echo "hello from $(uname -s), in $PWD"'
code=0
vm-agent exec "$agent" "exit 7" >/dev/null 2>&1 || code=$?
say "  \$ vm-agent exec $agent \"exit 7\"; echo \$?"
say "$code" | indent
[ "$code" = 7 ] || fail "exit code 7 came back as $code"

step 'script: JavaScript in a process of its own'
run_task vm-agent task "$agent" \
  '{"type":"script","script":"console.log(`${process.argv.slice(2)} on Node.js ${process.version}`)","args":["hello"]}' --wait

step 'git:clone, build and test of a small real npm project'
if [ "$provider" = local ]; then
  serve_project "$git_port"
  repo=git://127.0.0.1:$git_port/project
else
  send_project
  repo=/opt/project.bundle
fi
run_task vm-agent task "$agent" \
  "{\"type\":\"git:clone\",\"repo\":\"$repo\",\"destination\":\"project\"}" --wait
run_task vm-agent task "$agent" '{"type":"build","command":"npm run build","cwd":"project"}' --wait
run_task vm-agent task "$agent" '{"type":"test","command":"npm test","cwd":"project"}' --wait

step 'snapshot and restore: a deleted file comes back'
run vm-agent snapshot "$agent" before-the-mistake
run vm-agent exec "$agent" 'rm -rv project | tail -n 1'
run vm-agent restore "$agent" before-the-mistake
run vm-agent exec "$agent" 'ls -l project/dist/index.html'

step 'REST: post a task and wait for its end'
post_task '{"type":"exec","command":"echo posted by REST","wait":"30s"}'

step 'The last lines that the agent wrote'
run vm-agent logs "$agent" --lines 5

say ''
say "All of it worked, in $((SECONDS - started)) s."
say "  dashboard  http://localhost:$dashboard_port"
say "  REST       http://localhost:$http_port/agents"
say "  gRPC       localhost:$grpc_port (grpcurl -plaintext localhost:$grpc_port list)"
[ -n "$keep" ] || say 'They end now; `make demo KEEP=1` leaves them running.'

/**
 * First process of a machine. Writes its own pid, start time and boot into the pid file, which must not exist:
 * of two launchers at the same time one gives up. Then it becomes the program that follows.
 *
 * $1 pid file; $2... program with arguments.
 */
export const LAUNCH_SCRIPT = `set -eu
pid_file=$1; shift
ticks=$(cut -d' ' -f22 "/proc/$$/stat")
read -r boot < /proc/sys/kernel/random/boot_id
set -C
echo "$$ $ticks $boot" > "$pid_file"
set +C
exec "$@"
`;

/**
 * Makes the mounts of a machine inside its mount namespace, then becomes the program behind \`--\`.
 *
 * Groups of three arguments: \`bind\` or \`rbind\`, source, target; or \`ro\`, -, target.
 */
export const MOUNT_SCRIPT = `set -eu
while [ "$1" != -- ]; do
  case $1 in
    ro) mount -o remount,bind,ro "$3" ;;
    *) mkdir -p "$3"; mount "--$1" "$2" "$3" ;;
  esac
  shift 3
done
shift
cd "$HOME"
exec "$@"
`;

/**
 * Runs the agent, hands SIGTERM on to it and collects orphans. An agent that dies is started again after 0.2 s to
 * 10 s; what it left running goes on meanwhile. The machine ends when it was told to, when the agent ends by itself
 * (0), and when another start would not help: bad usage or settings (64, 78), or an agent that never ran for 2 s.
 *
 * The console goes through a pipe into a file of at most 1 MiB, with one older file beside it; what cannot be written
 * is dropped. Writes `up` to descriptor 3 once the agent was started.
 *
 * $1 directory of the console; $2... agent with arguments.
 */
export const INIT_SCRIPT = `set -u
dir=$1; shift
keep_console() {
  while :; do
    seen=$(LC_ALL=C dd bs=65536 count=1 2>&1 >> "$dir/console.log")
    case $seen in
      0+0*) break ;;
      [0-9]*) ;;
      *) cat > /dev/null; break ;;
    esac
    [ "$(wc -c < "$dir/console.log")" -le 1048576 ] || mv -f "$dir/console.log" "$dir/console.old"
  done
}
now() {
  read -r seconds rest < /proc/uptime
  echo "\${seconds%.*}"
}
rm -f "$dir/console.pipe"
mkfifo -m 600 "$dir/console.pipe" || exit 1
keep_console < "$dir/console.pipe" 2> /dev/null 3>&- &
console=$!
exec 4> "$dir/console.pipe"
agent= told= up= lived=
delay=2
trap 'told=yes; [ -z "$agent" ] || kill -TERM "$agent"' TERM
while [ -z "$told" ]; do
  began=$(now)
  "$@" >&4 2>&4 3>&- 4>&- &
  agent=$!
  [ -z "$told" ] || kill -TERM "$agent"
  [ -n "$up" ] || { up=yes; echo up >&3; exec 3>&- > /dev/null 2>&1; }
  while :; do
    wait "$agent"; code=$?
    kill -0 "$agent" || break
  done
  agent=
  ran=$(($(now) - began))
  [ "$ran" -lt 2 ] || lived=yes
  [ "$ran" -lt 10 ] || delay=2
  case $code in
    0 | 64 | 78) break ;;
    1) [ -n "$lived" ] || break ;;
  esac
  [ -z "$told" ] || break
  sleep "$((delay / 10)).$((delay % 10))" 4>&- &
  wait "$!"
  delay=$((delay * 2))
  [ "$delay" -le 100 ] || delay=100
done
exec 4>&-
tries=0
while kill -0 "$console" && [ "$tries" -lt 50 ]; do
  sleep 0.02
  tries=$((tries + 1))
done
kill -KILL "$console"
exit "$code"
`;

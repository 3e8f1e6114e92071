import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { run, signalProcess, start } from '../base/process.js';
import type { ShellSize } from '../model/agent-protocol.js';
import { killMarked } from './proc-tree.js';
import { asUser } from './task-user.js';
import { exitCodeOfSignal, type Terminal, type TerminalRequest } from './terminal.js';

/**
 * Runs inside the terminal that `script` opens. It takes the program and its arguments from the environment, so
 * that no command line is built from them.
 */
const COMMAND = `stty cols "$VM_AGENT_COLUMNS" rows "$VM_AGENT_ROWS" 2>/dev/null
set --
i=0
while [ "$i" -lt "$VM_AGENT_ARGC" ]; do eval "set -- \\"\\$@\\" \\"\\$VM_AGENT_ARG_$i\\""; i=$((i + 1)); done
unset VM_AGENT_COLUMNS VM_AGENT_ROWS VM_AGENT_ARGC
exec "$@"`;

/**
 * Opens a terminal with `script` of util-linux, for hosts without the native module.
 *
 * @throws Error when `script` is not installed.
 */
export async function openScriptTerminal(request: TerminalRequest): Promise<Terminal> {
  const { cwd, argv, size } = request;
  const given = Object.fromEntries(argv.map((arg, index) => [`VM_AGENT_ARG_${index}`, arg]));
  const env = {
    ...request.env,
    ...given,
    SHELL: '/bin/sh',
    VM_AGENT_ARGC: String(argv.length),
    VM_AGENT_COLUMNS: String(size.columns),
    VM_AGENT_ROWS: String(size.rows),
  };
  const line = asUser(request.user, ['script', '-q', '-e', '-f', '-c', COMMAND, '/dev/null']);
  const [file = '', ...args] = line;
  const child = start(file, args, {
    cwd,
    env,
    detached: true,
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  const exited = exitCodeOf(child, request.mark);
  try {
    await once(child, 'spawn');
  } catch (err) {
    exited.catch(() => {});
    throw new Error('this agent has no terminal: neither node-pty nor script is installed', { cause: err });
  }
  return terminalOf(child, exited, request.mark);
}

function terminalOf(child: ChildProcess, exited: Promise<number>, mark: string): Terminal {
  child.stdin?.on('error', () => {});
  return {
    exited,
    read: (onData) => void child.stdout?.on('data', onData),
    pause: () => void child.stdout?.pause(),
    resume: () => void child.stdout?.resume(),
    write: (data) => void child.stdin?.write(data),
    resize: (size) => void resize(child, size).catch(() => {}),
    kill: () => {
      killMarked(mark);
      if (child.pid !== undefined) signalProcess(-child.pid, 'SIGKILL');
    },
  };
}

async function exitCodeOf(child: ChildProcess, mark: string): Promise<number> {
  const [code, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null];
  killMarked(mark);
  return signal === null ? (code ?? 0) : exitCodeOfSignal(signal);
}

/** `script` follows the size of its own terminal, and it has none here: the inner one is told by name. */
async function resize(child: ChildProcess, { columns, rows }: ShellSize): Promise<void> {
  const device = terminalDevice(child.pid ?? 0);
  if (device === undefined) return;
  await run('stty', ['-F', device, 'cols', String(columns), 'rows', String(rows)], { timeoutMs: 5000 });
}

function terminalDevice(parent: number): string | undefined {
  for (const name of readdirSync('/proc').filter((text) => /^\d+$/.test(text))) {
    try {
      const stat = readFileSync(`/proc/${name}/stat`, 'utf8');
      if (Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]) !== parent) continue;
      const device = readlinkSync(`/proc/${name}/fd/0`);
      if (device.startsWith('/dev/pts/')) return device;
    } catch {
      // It ended meanwhile.
    }
  }
  return undefined;
}

import { chownSync } from 'node:fs';
import { deferred } from '../base/deferred.js';
import { signalProcess } from '../base/process.js';
import { killMarked } from './proc-tree.js';
import { asUser } from './task-user.js';
import type { Terminal, TerminalRequest } from './terminal.js';

/** The part of the module that is used. */
interface PtyModule {
  spawn(file: string, args: string[], options: object): Pty;
}

interface Pty {
  readonly pid: number;
  /** Path of the terminal's device. */
  readonly ptsName: string;
  onData(listener: (data: Buffer | string) => void): void;
  onExit(listener: (end: { exitCode: number; signal?: number }) => void): void;
  write(data: Buffer): void;
  resize(columns: number, rows: number): void;
  pause(): void;
  resume(): void;
}

/** Opens a terminal with the native module; undefined where that is not installed. */
export async function openPty(request: TerminalRequest): Promise<Terminal | undefined> {
  const module = await loadModule();
  if (module === undefined) return undefined;
  const { argv, size, term: name, cwd, env, user } = request;
  const [file = '', ...args] = asUser(user, argv);
  const { columns: cols, rows } = size;
  const pty = module.spawn(file, args, { name, cols, rows, cwd, env, encoding: null });
  if (user !== undefined) chownSync(pty.ptsName, user.uid, -1);
  return terminalOf(pty, request.mark);
}

async function loadModule(): Promise<PtyModule | undefined> {
  try {
    return (await import('@lydell/node-pty')) as unknown as PtyModule;
  } catch {
    return undefined;
  }
}

function terminalOf(pty: Pty, mark: string): Terminal {
  const { promise: exited, resolve } = deferred<number>();
  let running = true;
  pty.onExit(({ exitCode, signal = 0 }) => {
    running = false;
    killMarked(mark);
    resolve(signal > 0 ? 128 + signal : exitCode);
  });
  const ifRunning = (work: () => void) => {
    if (running) work();
  };
  return {
    exited,
    read: (onData) => pty.onData((data) => onData(Buffer.from(data as Buffer))),
    pause: () => ifRunning(() => pty.pause()),
    resume: () => ifRunning(() => pty.resume()),
    write: (data) => ifRunning(() => pty.write(data)),
    resize: ({ columns, rows }) => ifRunning(() => pty.resize(columns, rows)),
    kill: () =>
      ifRunning(() => {
        signalProcess(-pty.pid, 'SIGHUP');
        killMarked(mark);
        signalProcess(-pty.pid, 'SIGKILL');
      }),
  };
}

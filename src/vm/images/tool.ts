import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import type { Readable } from 'node:stream';
import { systemClock } from '../../base/clock.js';
import { signalProcess, start } from '../../base/process.js';
import { HubError } from '../../model/hub-error.js';

/** Told what is being done, for a person. */
export type Report = (text: string) => void;

/** How to run a {@link runTool}. */
export interface ToolOptions {
  readonly cwd?: string;
  /** Name for messages when the tool is started by another. Default the file. */
  readonly calledAs?: string;
  readonly env: NodeJS.ProcessEnv;
  /** Variables that the tool gets besides those of {@link toolEnv}. */
  readonly extraEnv?: Readonly<Record<string, string>>;
  /** Ends the tool and everything that it started. */
  readonly signal: AbortSignal;
  /** Called with each line of its error output. */
  readonly onLine?: (line: string) => void;
}

/** Most lines kept of what a tool said. */
const TAIL_LINES = 15;
const MAX_LINE = 500;
/** How long an aborted tool may take to clean up. */
const KILL_AFTER_MS = 5_000;
const MAX_OUTPUT = 4 * 1024 * 1024;

/** Where Debian puts tools for administrators; not in the PATH of a normal user. */
const ADMIN_PATH = ['/usr/sbin', '/sbin'];

/** The environment of a tool: the caller's search path and plain C messages, nothing secret. */
export function toolEnv(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const path = [env.PATH ?? '/usr/bin:/bin', ...ADMIN_PATH].join(delimiter);
  return {
    PATH: path,
    HOME: env.HOME ?? '/',
    LC_ALL: 'C.UTF-8',
    ...(env.TMPDIR ? { TMPDIR: env.TMPDIR } : {}),
  };
}

/** Whether a program can be found and run. */
export function hasTool(name: string, env: NodeJS.ProcessEnv): boolean {
  return (toolEnv(env).PATH ?? '').split(delimiter).some((dir) => {
    try {
      accessSync(join(dir, name), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** Debian packages of the tools that are used here. */
const PACKAGES: Readonly<Record<string, string>> = {
  mmdebstrap: 'mmdebstrap',
  'qemu-img': 'qemu-utils',
  mke2fs: 'e2fsprogs',
  unshare: 'util-linux',
  setpriv: 'util-linux',
  fakeroot: 'fakeroot',
  fakechroot: 'fakechroot',
  newuidmap: 'uidmap',
  tar: 'tar',
};

/**
 * Refuses when tools are missing.
 *
 * @throws HubError TOOL_MISSING with the command that installs them.
 */
export function requireTools(names: readonly string[], env: NodeJS.ProcessEnv): void {
  const missing = names.filter((name) => !hasTool(name, env));
  if (missing.length === 0) return;
  const packages = [...new Set(missing.map((name) => PACKAGES[name] ?? name))].join(' ');
  const verb = missing.length === 1 ? 'is' : 'are';
  const message = `${missing.join(', ')} ${verb} not installed; on Debian: sudo apt-get install ${packages}`;
  throw new HubError('TOOL_MISSING', message, { metadata: { tools: missing.join(','), packages } });
}

/**
 * Runs a tool to its end and answers its standard output.
 *
 * @throws HubError DISK_FULL, or IMAGE_FAILED with its last words; the signal's reason when aborted.
 */
export async function runTool(file: string, args: readonly string[], options: ToolOptions): Promise<string> {
  const { cwd, signal, onLine = () => {} } = options;
  signal.throwIfAborted();
  const child = start(file, args, {
    env: { ...toolEnv(options.env), ...options.extraEnv },
    // A group of its own, so that everything in it can be ended at once.
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
    ...(cwd === undefined ? {} : { cwd }),
  });
  let timer: Disposable | undefined;
  const send = (name: NodeJS.Signals) => child.pid !== undefined && signalProcess(-child.pid, name);
  const end = () => {
    // It gets a moment to remove what it made elsewhere.
    send('SIGTERM');
    timer = systemClock.after(KILL_AFTER_MS, () => send('SIGKILL'));
  };
  signal.addEventListener('abort', end, { once: true });
  try {
    const ended = new Promise<number | null>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', resolve);
    });
    const [code, stdout, tail] = await Promise.all([
      ended,
      textOf(child.stdout),
      tailOf(child.stderr, onLine),
    ]);
    signal.throwIfAborted();
    if (code === 0) return stdout;
    throw failure(options.calledAs ?? file, code, tail);
  } finally {
    signal.removeEventListener('abort', end);
    timer?.[Symbol.dispose]();
  }
}

async function textOf(stream: Readable | null): Promise<string> {
  let text = '';
  for await (const chunk of (stream ?? []) as AsyncIterable<Buffer>) {
    if (text.length < MAX_OUTPUT) text += chunk.toString();
  }
  return text;
}

/** The last lines of a stream, each told as it comes. */
async function tailOf(stream: Readable | null, onLine: (line: string) => void): Promise<readonly string[]> {
  const lines: string[] = [];
  let rest = '';
  const take = (line: string) => {
    if (line.trim() === '') return;
    onLine(line);
    lines.push(line);
    if (lines.length > TAIL_LINES) lines.shift();
  };
  for await (const chunk of (stream ?? []) as AsyncIterable<Buffer>) {
    const parts = (rest + chunk.toString()).split(/[\r\n]/);
    rest = (parts.pop() ?? '').slice(-MAX_LINE);
    for (const part of parts) take(part.slice(0, MAX_LINE));
  }
  take(rest);
  return lines;
}

function failure(tool: string, code: number | null, tail: readonly string[]): HubError {
  const words = tail.join('\n');
  if (/no space left on device|ENOSPC|disk quota exceeded/i.test(words)) {
    return new HubError('DISK_FULL', `no room left for the image (${tool}); free some and try again`, {
      metadata: { tool },
    });
  }
  // apt and mmdebstrap mark what is wrong among much else.
  const marked = tail.filter((line) => /^E: (?!setup failed|mmdebstrap failed)/.test(line));
  const told = (marked.length > 0 ? marked : tail).join('\n');
  const how = code === null ? 'was killed' : `failed (exit code ${code})`;
  const message = `${tool} ${how}${told === '' ? '' : `:\n${told}`}`;
  return new HubError('IMAGE_FAILED', message, { metadata: { tool, exitCode: String(code ?? '') } });
}

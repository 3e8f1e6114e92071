import { type ChildProcess, execFile, type SpawnOptions, spawn } from 'node:child_process';

/** Options of {@link run}. */
export interface RunOptions {
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
  /** Ends the program with SIGKILL when aborted. */
  readonly signal?: AbortSignal;
  /** Time limit in milliseconds. Default 60000. */
  readonly timeoutMs?: number;
  /** Most bytes kept of each stream. Default 8 MiB. */
  readonly maxBytes?: number;
  /** What the program reads. Default nothing. */
  readonly input?: Buffer;
}

/** What a program left behind, its output as text. */
export interface RunResult extends Omit<RunBytes, 'stdout'> {
  readonly stdout: string;
}

/** What a program left behind. */
export interface RunBytes {
  /** Exit code, or null when a signal ended it. */
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: Buffer;
  readonly stderr: string;
}

/**
 * Runs a program to its end without a shell. A non-zero exit code is a result, not an error.
 *
 * @throws when the program cannot be started, is aborted, writes too much or takes too long.
 */
export async function run(
  file: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<RunResult> {
  const result = await runBytes(file, args, options);
  return { ...result, stdout: result.stdout.toString('utf8') };
}

/** Like {@link run}, for programs whose output is not text. */
export function runBytes(file: string, args: readonly string[], options: RunOptions = {}): Promise<RunBytes> {
  const { timeoutMs = 60_000, maxBytes = 8 * 1024 * 1024, input, ...rest } = options;
  return new Promise((resolve, reject) => {
    const limits = { timeout: timeoutMs, maxBuffer: maxBytes, killSignal: 'SIGKILL' as const };
    const settings = { ...rest, ...limits, encoding: 'buffer' as const };
    const child = execFile(file, [...args], settings, (err, stdout, stderr) => {
      const ended = child.exitCode !== null || child.signalCode !== null;
      const cut = err !== null && (err.killed === true || err.code === 'ERR_CHILD_PROCESS_STDIO_MAXBUFFER');
      if (err !== null && (!ended || cut || err.name === 'AbortError')) {
        reject(cut ? new Error(`${file} took longer than ${timeoutMs} ms or wrote too much`) : err);
        return;
      }
      const text = stderr.toString('utf8');
      resolve({ code: child.exitCode, signal: child.signalCode, stdout, stderr: text });
    });
    // A program that ends without reading all of it is told by its exit code.
    child.stdin?.on('error', () => {});
    child.stdin?.end(input);
  });
}

/** Starts a program without a shell. The caller owns it: it must watch `error` and `exit`. */
export function start(file: string, args: readonly string[], options: SpawnOptions): ChildProcess {
  return spawn(file, [...args], { ...options, shell: false });
}

/** Whether a process with this pid exists (also one that this user may not signal). */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (err) {
    return (err as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** Sends a signal to a process, or with a negative pid to its group. False when it is gone. */
export function signalProcess(pid: number, signal: NodeJS.Signals): boolean {
  try {
    process.kill(pid, signal);
    return true;
  } catch {
    return false;
  }
}

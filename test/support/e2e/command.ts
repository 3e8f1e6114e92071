import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { once } from 'node:events';

/** How a program ended. */
export interface CommandResult {
  /** Exit code; 128 + n for signal n, as a shell says it. */
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
  /** Standard output as bytes. */
  readonly bytes: Buffer;
  readonly errorBytes: Buffer;
}

export interface CommandOptions {
  readonly env?: NodeJS.ProcessEnv;
  readonly cwd?: string;
  /** Written to standard input, which is then closed. Default: nothing. */
  readonly input?: string;
  /** Kills the program and fails. Default 60000. */
  readonly timeoutMs?: number;
}

/** A program that a test started and has to end. */
export class RunningCommand {
  readonly #chunks: { readonly out: Buffer[]; readonly err: Buffer[] } = { out: [], err: [] };
  readonly #closed: Promise<void>;
  #code = 0;

  constructor(
    readonly child: ChildProcess,
    private readonly title: string,
  ) {
    child.stdout?.on('data', (chunk: Buffer) => this.#chunks.out.push(chunk));
    child.stderr?.on('data', (chunk: Buffer) => this.#chunks.err.push(chunk));
    this.#closed = new Promise((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (code, signal) => {
        this.#code = code ?? 128 + signalNumber(signal);
        resolve();
      });
    });
    this.#closed.catch(() => undefined);
  }

  get stdout(): string {
    return Buffer.concat(this.#chunks.out).toString();
  }

  get stderr(): string {
    return Buffer.concat(this.#chunks.err).toString();
  }

  /** Resolves once the output so far matches. */
  async printed(pattern: RegExp, timeoutMs = 20_000): Promise<void> {
    const deadline = AbortSignal.timeout(timeoutMs);
    while (!pattern.test(this.stdout + this.stderr)) {
      const data = [this.child.stdout, this.child.stderr].flatMap((stream) =>
        stream === null ? [] : [once(stream, 'data', { signal: deadline })],
      );
      const more = await Promise.race([...data, this.#closed.then(() => undefined)]).catch(() => undefined);
      if (more === undefined && !pattern.test(this.stdout + this.stderr)) {
        throw new Error(`${this.title} did not print ${pattern}; it printed: ${this.stdout}${this.stderr}`);
      }
    }
  }

  /** Resolves when it ended; kills it and fails when that takes too long. */
  async ended(timeoutMs = 60_000): Promise<CommandResult> {
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      this.child.kill('SIGKILL');
    }, timeoutMs);
    await this.#closed.finally(() => clearTimeout(timer));
    if (late) {
      throw new Error(
        `${this.title} took longer than ${timeoutMs} ms; it printed: ${this.stdout}${this.stderr}`,
      );
    }
    return {
      exitCode: this.#code,
      stdout: this.stdout,
      stderr: this.stderr,
      bytes: Buffer.concat(this.#chunks.out),
      errorBytes: Buffer.concat(this.#chunks.err),
    };
  }
}

const SIGNALS: Readonly<Record<string, number>> = { SIGHUP: 1, SIGINT: 2, SIGKILL: 9, SIGTERM: 15 };

function signalNumber(signal: NodeJS.Signals | null): number {
  return SIGNALS[signal ?? ''] ?? 0;
}

/** Starts a program. */
export function startCommand(
  file: string,
  args: readonly string[],
  options: CommandOptions & Pick<SpawnOptions, 'uid' | 'gid'> = {},
): RunningCommand {
  const { input, timeoutMs: _, ...rest } = options;
  const stdin = input === undefined ? 'ignore' : 'pipe';
  const child = spawn(file, [...args], { ...rest, stdio: [stdin, 'pipe', 'pipe'] });
  if (input !== undefined) {
    child.stdin?.on('error', () => undefined);
    child.stdin?.end(input);
  }
  return new RunningCommand(child, [file, ...args].join(' '));
}

/** Runs a program to its end. */
export function runCommand(
  file: string,
  args: readonly string[],
  options: CommandOptions & Pick<SpawnOptions, 'uid' | 'gid'> = {},
): Promise<CommandResult> {
  return startCommand(file, args, options).ended(options.timeoutMs);
}

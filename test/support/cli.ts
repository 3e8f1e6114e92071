import { PassThrough, Readable } from 'node:stream';
import type { CliContext } from '../../cli/context.js';
import { runCli } from '../../cli/run-cli.js';

/** What a command line left behind. */
export interface CliResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Where and how a command line runs. */
export interface CliRun {
  readonly env?: NodeJS.ProcessEnv;
  readonly stdin?: string;
  readonly stdinIsTTY?: boolean;
  readonly signal?: AbortSignal;
  readonly forceSignal?: AbortSignal;
  /** How the program would start itself again. */
  readonly self?: readonly string[];
  /** Called with everything that goes to stdout. */
  readonly onStdout?: (text: string) => void;
}

/** Runs a command line in this process, with streams and environment of its own. */
export async function cli(args: readonly string[], run: CliRun = {}): Promise<CliResult> {
  const [stdout, stderr] = [sink(run.onStdout), sink()];
  const never = new AbortController().signal;
  const context: CliContext = {
    stdin: Object.assign(Readable.from(run.stdin === undefined ? [] : [Buffer.from(run.stdin)]), {
      isTTY: run.stdinIsTTY ?? false,
    }),
    stdout: stdout.stream,
    stderr: stderr.stream,
    env: { VM_AGENT_HOME: '/nonexistent', ...run.env },
    colorDepth: 1,
    signal: run.signal ?? never,
    forceSignal: run.forceSignal ?? never,
    self: run.self ?? [],
  };
  const code = await runCli(args, context);
  return { code, stdout: stdout.text(), stderr: stderr.text() };
}

function sink(onText: (text: string) => void = () => {}) {
  const chunks: Buffer[] = [];
  const stream = new PassThrough();
  stream.on('data', (chunk: Buffer) => {
    chunks.push(chunk);
    onText(chunk.toString());
  });
  return { stream, text: () => Buffer.concat(chunks).toString() };
}

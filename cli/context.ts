import type { Readable, Writable } from 'node:stream';

/** Exit code when the reader of our output has gone: that of a program killed by SIGPIPE. */
export const BROKEN_PIPE = 141;

/** Reason with which {@link CliContext.signal} aborts. */
export class Interrupted extends Error {
  override readonly name = 'Interrupted';

  /** @param exitCode 128 plus the number of the signal that came. */
  constructor(readonly exitCode: number) {
    super('interrupted');
  }
}

/** The exit code when an error says that a signal came; undefined for all others. */
export function interruptedCode(err: unknown): number | undefined {
  const known = err instanceof Error && err.name === 'Interrupted' && 'exitCode' in err;
  return known && typeof err.exitCode === 'number' ? err.exitCode : undefined;
}

/** What commands may touch of the outside world. */
export interface CliContext {
  readonly stdin: Readable & { readonly isTTY?: boolean; setRawMode?(raw: boolean): unknown };
  readonly stdout: Writable & { readonly isTTY?: boolean; readonly columns?: number; readonly rows?: number };
  readonly stderr: Writable & { readonly isTTY?: boolean };
  readonly env: NodeJS.ProcessEnv;
  /** Clipanion's own; 1 means no colours. */
  readonly colorDepth: number;
  /** Aborts with {@link Interrupted} at the first Ctrl-C, SIGTERM or SIGHUP. Watched from the first use on. */
  readonly signal: AbortSignal;
  /** Aborts at the second one. */
  readonly forceSignal: AbortSignal;
  /** How this program was started, to start it again: file and first arguments. */
  readonly self: readonly string[];
}

import { isErrno } from '../src/base/errno.js';
import { BROKEN_PIPE, type CliContext, Interrupted } from './context.js';

/** The context of a real process. */
export interface ProgramContext extends CliContext {
  /** Ends the process with this code once everything is written. */
  finish(code: number): void;
}

const SIGNALS = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;
/** How long a command may take to end after the second Ctrl-C. */
const FORCE_MS = 3_000;

/** Builds the context of this process. Signals are handled only once a command asks for them. */
export function createProgramContext(program: NodeJS.Process): ProgramContext {
  const first = new AbortController();
  const second = new AbortController();
  let listening = false;
  let lost = false;
  const listen = () => {
    if (listening) return;
    listening = true;
    for (const [name, code] of Object.entries(SIGNALS)) {
      program.on(name, () => interrupt(program, first, second, code));
    }
  };
  for (const stream of [program.stdout, program.stderr]) {
    stream.on('error', (err) => {
      // Other errors reach whoever waits for the write, and the exit code.
      lost ||= stream === program.stdout;
      if (isErrno(err, 'EPIPE')) brokenPipe(program, first, listening);
    });
  }
  return {
    stdin: program.stdin,
    stdout: program.stdout,
    stderr: program.stderr,
    env: program.env,
    colorDepth: 1,
    self: [program.execPath, ...program.execArgv, program.argv[1] ?? ''],
    get signal() {
      listen();
      return first.signal;
    },
    get forceSignal() {
      listen();
      return second.signal;
    },
    finish: (code) => finish(program, () => code || (lost ? 1 : 0)),
  };
}

function interrupt(
  program: NodeJS.Process,
  first: AbortController,
  second: AbortController,
  code: number,
): void {
  const reason = new Interrupted(code);
  if (!first.signal.aborted) {
    first.abort(reason);
    return;
  }
  second.abort(reason);
  setTimeout(() => program.exit(code), FORCE_MS).unref();
}

/** The reader of our output has gone: end quietly, and let a command that runs elsewhere be cancelled first. */
function brokenPipe(program: NodeJS.Process, first: AbortController, listening: boolean): void {
  if (!listening) program.exit(BROKEN_PIPE);
  first.abort(new Interrupted(BROKEN_PIPE));
}

/** Results that could not be written are not results: only after the last write is the exit code known. */
function finish(program: NodeJS.Process, code: () => number): void {
  // Standard input may keep the process alive when it is a terminal or a pipe that nobody closes.
  program.stdin.destroy();
  program.stdout.write('', () => program.stderr.write('', () => program.exit(code())));
}

import { constants } from 'node:os';
import type { ShellOpen, ShellSize } from '../model/agent-protocol.js';
import type { TaskUser } from './task-user.js';

/** A terminal with a program in it. */
export interface Terminal {
  /** Calls back with what the program writes, until it ends; call it once. */
  read(onData: (data: Buffer) => void): void;
  /** Stops reading; the program blocks in its next write. */
  pause(): void;
  resume(): void;
  /** Types keys. */
  write(data: Buffer): void;
  resize(size: ShellSize): void;
  /** Ends the program with all that it started. */
  kill(): void;
  /** Exit code, 128 + n for signal n; all output was read before. */
  readonly exited: Promise<number>;
}

/** What a terminal is started with. */
export interface TerminalRequest extends ShellOpen {
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  /** Marks its processes, so that all of them can be found again. */
  readonly mark: string;
  /** Whose it is. Default: this process's user. */
  readonly user?: TaskUser;
}

/** Exit code of a program that a signal ended, as a shell counts. */
export function exitCodeOfSignal(signal: NodeJS.Signals): number {
  return 128 + constants.signals[signal];
}

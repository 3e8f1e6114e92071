import type { Logger } from '../../base/logger.js';
import type { TaskResult, TerminalState } from '../../model/task.js';
import type { ProcessContext } from '../task-process.js';
import type { TaskUser } from '../task-user.js';

/** What every executor works with. */
export interface ExecutorContext {
  readonly process: ProcessContext;
  readonly log: Logger;
  /** Directory for relative paths. */
  readonly home: string;
  /** Private directory of the agent for temporary files. */
  readonly tempDir: string;
  /** Environment of the agent without its secrets. */
  readonly baseEnv: Readonly<Record<string, string>>;
  readonly uid: number;
  /** Runs everything; absent for the agent's own user. */
  readonly user?: TaskUser;
  readonly allowSudo: boolean;
  /** The program that runs `script` tasks. */
  readonly node: string;
}

/** How an attempt ended, without what the spool knows. */
export interface Ending {
  readonly state: TerminalState;
  /** UPPER_SNAKE. */
  readonly reason: string;
  readonly exitCode?: number;
  readonly signal?: string;
  readonly message?: string;
  readonly killed?: boolean;
  readonly result?: TaskResult;
}

/** Ends an attempt as FAILED; only thrown inside executors. */
export class TaskFailure extends Error {
  override readonly name = 'TaskFailure';

  constructor(
    readonly reason: string,
    message: string,
    readonly exitCode?: number,
  ) {
    super(message);
  }

  /** The ending that it stands for. */
  get ending(): Ending {
    const { reason, message, exitCode } = this;
    return { state: 'FAILED', reason, message, ...(exitCode === undefined ? {} : { exitCode }) };
  }
}

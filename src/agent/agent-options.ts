import type { Clock } from '../base/clock.js';
import type { Logger } from '../base/logger.js';
import type { AgentConfig } from './agent-config.js';
import type { KillScope } from './kill-scope.js';
import type { SpoolLimits } from './spool-writer.js';
import type { TaskUser } from './task-user.js';

/** What an agent is started with. */
export interface AgentOptions {
  readonly config: Pick<
    AgentConfig,
    'agentId' | 'stateDir' | 'vmGeneration' | 'home' | 'allowSudo' | 'capabilities'
  >;
  readonly version: string;
  /** Changes with every boot of the machine. */
  readonly bootId: string;
  readonly scope: KillScope;
  /** Environment of the tasks, without the agent's secrets. */
  readonly baseEnv: Readonly<Record<string, string>>;
  /** User id of {@link user}, else of this process: decides whether sudo is needed. */
  readonly uid: number;
  /** Runs tasks and shells; this process is root then. Default: this process's user. */
  readonly user?: TaskUser;
  /** The program that runs `script` tasks. */
  readonly node: string;
  readonly spoolLimits?: SpoolLimits;
  /**
   * Starts a keeper of this state directory in a process of its own, so that tasks outlive the agent. Default: a
   * keeper inside this process, and tasks that run when it dies are lost.
   */
  readonly launchKeeper?: (stateDir: string) => Promise<void>;
  readonly clock: Clock;
  readonly log: Logger;
}

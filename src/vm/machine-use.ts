import type { Due } from '../model/vm-life.js';

/** What {@link Expiry} asks of the hub. */
export interface MachineUse {
  /**
   * Those of the agents in which something goes on: tasks in hand, tasks that wait for an agent that is online, open
   * shells, or their making.
   */
  busy(agents: readonly string[]): Promise<ReadonlySet<string>>;
  /** Removes an agent with its machine, whatever it does. */
  remove(agent: string, signal: AbortSignal): Promise<void>;
  /** A machine is being ended by itself, or could not be. */
  expiring(agent: string, cause: Due['cause'], message: string): Promise<void>;
}

import type { HubContext } from './context.js';
import type { Sessions } from './sessions.js';
import type { Shells } from './shells.js';

/** Knows in which agents something goes on, so that their machines are not ended by themselves. */
export class Activity {
  constructor(
    private readonly ctx: HubContext,
    private readonly sessions: Sessions,
    private readonly shells: Shells,
  ) {}

  /**
   * Those with tasks in hand, with tasks that wait while the agent is online, with open shells, or that are being made
   * or removed.
   */
  async busy(agents: readonly string[]): Promise<ReadonlySet<string>> {
    const { agents: records, tasks } = this.ctx.store;
    const [load, known] = await Promise.all([
      tasks.load(agents),
      Promise.all(agents.map((agent) => records.get(agent))),
    ]);
    const isBusy = (agent: string, index: number) => {
      const phase = known[index]?.phase;
      const { inHand = [], queued = 0 } = load.get(agent) ?? {};
      if (phase === 'CREATING' || phase === 'DESTROYING' || this.shells.isOpen(agent)) return true;
      return inHand.length > 0 || (queued > 0 && this.sessions.get(agent) !== undefined);
    };
    return new Set(agents.filter(isBusy));
  }
}

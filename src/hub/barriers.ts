import { randomUUID } from 'node:crypto';
import { untilAborted } from '../base/abort.js';
import { type Deferred, deferred } from '../base/deferred.js';
import { HubError } from '../model/hub-error.js';
import type { AgentSession } from './agent-session.js';
import type { HubContext } from './context.js';

/** Freezes the tasks of an agent while a snapshot is taken. */
export class Barriers {
  private readonly waiting = new Map<string, Deferred<void>>();

  constructor(private readonly ctx: HubContext) {}

  /** Resolves once nothing of the agent's tasks runs, with how to let them go on. @throws VM_FAILED. */
  async freeze(session: AgentSession, signal: AbortSignal): Promise<() => Promise<void>> {
    const barrier = randomUUID();
    const prepared = deferred();
    this.waiting.set(barrier, prepared);
    const timeout = AbortSignal.timeout(this.ctx.limits.freezeTimeoutMs);
    const resume = async () => session.send({ type: 'resume', barrier });
    session.send({ type: 'prepare', barrier });
    try {
      await untilAborted(prepared.promise, AbortSignal.any([signal, timeout, session.signal]));
      return resume;
    } catch (err) {
      await resume();
      if (timeout.aborted) throw new HubError('VM_FAILED', 'the agent did not freeze its tasks in time');
      throw err;
    } finally {
      this.waiting.delete(barrier);
    }
  }

  /** The agent says that nothing runs. */
  prepared(barrier: string): void {
    this.waiting.get(barrier)?.resolve();
  }
}

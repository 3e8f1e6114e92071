import type { Task } from '../model/task.js';
import type { AgentSession } from './agent-session.js';
import type { HubContext } from './context.js';
import type { AttemptReport } from './protocol.js';
import type { TaskChanges } from './task-changes.js';

/**
 * Attempts that were given up and may still run somewhere. Their tasks are run again only when it is known that
 * they are over: the agent said so, came back without them, or its machine was stopped.
 */
export class Fences {
  constructor(
    private readonly ctx: HubContext,
    private readonly changes: TaskChanges,
  ) {}

  /** The machine of an agent is stopped: nothing of its attempts runs. */
  async confirmAll(agent: string): Promise<void> {
    for (const task of await this.ctx.store.tasks.fencedBy(agent)) await this.confirm(task);
  }

  /** An agent came back; what it does not know any more is over. */
  async confirmUnknown(session: AgentSession): Promise<void> {
    const known = new Set(session.hello.attempts.map((report) => `${report.attempt}/${report.task}`));
    for (const task of await this.ctx.store.tasks.fencedBy(session.agentId)) {
      if (!known.has(`${task.fence?.attempt}/${task.id}`)) await this.confirm(task);
    }
  }

  /** The task for which an agent's report of an attempt that was given up still means something. */
  async given(agent: string, report: AttemptReport): Promise<Task | undefined> {
    const task = await this.ctx.store.tasks.get(report.task);
    const fenced = task?.fence?.agent === agent && task.fence.attempt === report.attempt;
    const lost = task?.state === 'LOST' && task.agent === agent && task.attempt === report.attempt;
    return fenced || lost ? task : undefined;
  }

  private async confirm(task: Task): Promise<void> {
    if (task.fence) await this.changes.apply(task.id, { type: 'fenced', attempt: task.fence.attempt });
  }
}

import { isTerminal, type NewTask, type Task } from '../model/task.js';
import type { TaskEvent } from '../model/task-events.js';
import type { HubContext } from './context.js';
import type { Scheduler } from './scheduler.js';
import type { ApplyOptions, ApplyResult } from './store.js';
import type { TaskWatchers } from './task-watchers.js';

/** Changes tasks in the store and, after the commit, does what follows from it. */
export class TaskChanges {
  constructor(
    private readonly ctx: HubContext,
    private readonly watchers: TaskWatchers,
    private readonly scheduler: Scheduler,
  ) {}

  /** Applies an event to a task. @throws TASK_NOT_FOUND, DISK_FULL; then nothing has changed. */
  async apply(id: string, event: TaskEvent, ack?: ApplyOptions['ack']): Promise<ApplyResult> {
    const options = { nowMs: this.ctx.clock.now(), ...(ack ? { ack } : {}) };
    const result = await this.ctx.store.tasks.apply(id, event, options);
    this.after(result);
    return result;
  }

  /** A task is on its way into the store. What is claimed for it is claimed behind it. */
  creating(task: NewTask): void {
    this.scheduler.wakeFor(task);
  }

  /** A task was accepted. */
  created(task: Task): void {
    this.ctx.metrics.taskCreated(task.spec.type);
    if (isTerminal(task.state)) this.ended(task);
  }

  /** Tasks were dropped in bulk. */
  dropped(tasks: readonly Task[]): void {
    for (const task of tasks) this.ended(task);
  }

  private after(result: ApplyResult): void {
    const { task, before, dropped, released } = result;
    if (task !== before) this.changed(task, before);
    this.dropped(dropped);
    for (const agent of released) this.release(agent);
  }

  private release(agent: string): void {
    if (agent === '') this.scheduler.wakeAll();
    else this.scheduler.wakeAgent(agent);
  }

  private changed(task: Task, before: Task): void {
    if (isTerminal(task.state) && !isTerminal(before.state)) this.ended(task);
    else this.watchers.notify(task.id);
    if (task.state === 'QUEUED') this.scheduler.wakeFor(task);
    if (before.agent !== undefined && task.state !== 'RUNNING') this.scheduler.wakeAgent(before.agent);
  }

  private ended(task: Task): void {
    const ran = task.startMs !== undefined && task.endMs !== undefined;
    const seconds = ran ? Math.max(0, Number(task.endMs) - Number(task.startMs)) / 1000 : undefined;
    this.ctx.metrics.taskEnded(task.spec.type, task.state, seconds);
    this.watchers.notify(task.id);
  }
}

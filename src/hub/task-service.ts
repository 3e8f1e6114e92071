import { createHash, randomUUID } from 'node:crypto';
import { Bell } from '../base/bell.js';
import { HubError } from '../model/hub-error.js';
import { emptyOutcome, isTerminal, type Task, taskStage } from '../model/task.js';
import type { TaskRequest, TasksApi } from './api.js';
import type { HubContext } from './context.js';
import type { Sessions } from './sessions.js';
import type { TaskFilter } from './store.js';
import type { TaskChanges } from './task-changes.js';
import type { TaskWatchers } from './task-watchers.js';

export interface TaskServiceParts {
  readonly ctx: HubContext;
  readonly sessions: Sessions;
  readonly watchers: TaskWatchers;
  readonly changes: TaskChanges;
}

/** Accepts, answers, cancels and watches tasks. */
export class TaskService implements TasksApi {
  private readonly ctx: HubContext;
  private stopping = false;

  constructor(private readonly parts: TaskServiceParts) {
    this.ctx = parts.ctx;
  }

  /** New tasks are refused from now on. */
  stop(): void {
    this.stopping = true;
  }

  async create(request: TaskRequest): Promise<Task> {
    if (this.stopping) throw new HubError('HUB_STOPPING', 'the hub is stopping and takes no new tasks');
    const { id = randomUUID(), ...rest } = request;
    const task = { ...rest, id, digest: digestOf(request), createMs: this.ctx.clock.now() };
    const storing = this.ctx.store.tasks.create(task, this.ctx.limits);
    // The claim of an agent that is free stands behind it in the same commit.
    this.parts.changes.creating(task);
    const stored = await storing;
    if (stored.created) this.parts.changes.created(stored.task);
    return stored.task;
  }

  async wait(id: string, waitMs: number, signal: AbortSignal): Promise<Task> {
    // Not AbortSignal.timeout: Node.js 20 collects one that only AbortSignal.any knows, and it never fires.
    const limit = new AbortController();
    using _timer = this.ctx.clock.after(waitMs, () => limit.abort(new Error('the wait is over')));
    const either = AbortSignal.any([signal, limit.signal]);
    let last: Task | undefined;
    try {
      for await (const task of this.watch(id, either)) last = task;
    } catch (err) {
      if (signal.aborted || !limit.signal.aborted) throw err;
    }
    return last ?? (await this.find(id));
  }

  async get(id: string) {
    return { task: await this.find(id), attempts: await this.ctx.store.tasks.attempts(id) };
  }

  list(
    filter: TaskFilter,
    page: { readonly size: number; readonly before?: number },
  ): Promise<readonly Task[]> {
    return this.ctx.store.tasks.list(filter, page);
  }

  queuedReason(task: Task): string {
    if (task.state !== 'QUEUED') return '';
    if (task.agent === undefined) return this.poolReason(task);
    const session = this.parts.sessions.get(task.agent);
    if (!session) return 'AGENT_OFFLINE';
    if (session.heldAttempt(task.id) !== undefined) return '';
    if (session.holdsLane(task.lane)) return 'LANE_BUSY';
    return task.after.length > 0 ? 'WAITING_FOR_TASKS' : '';
  }

  async cancel(id: string, force: boolean): Promise<Task> {
    const outcome = emptyOutcome('CANCELLED', 'cancelled by a caller before it started');
    const { task } = await this.parts.changes.apply(id, {
      type: 'cancel',
      atMs: this.ctx.clock.now(),
      outcome,
    });
    if (!isTerminal(task.state) && task.agent !== undefined)
      this.parts.sessions.get(task.agent)?.cancel(task, force);
    return task;
  }

  async *watch(id: string, signal: AbortSignal, after = ''): AsyncIterable<Task> {
    const bell = new Bell(signal);
    using _ = this.parts.watchers.listen(id, () => bell.ring());
    for (let seen = after; ; await bell.wait()) {
      bell.reset();
      const task = await this.find(id);
      const stage = taskStage(task);
      if (stage !== seen) yield task;
      if (isTerminal(task.state)) return;
      seen = stage;
    }
  }

  private async find(id: string): Promise<Task> {
    const task = await this.ctx.store.tasks.get(id);
    if (!task) throw new HubError('TASK_NOT_FOUND', `there is no task ${id}`, { metadata: { task: id } });
    return task;
  }

  private poolReason(task: Task): string {
    const able = this.parts.sessions
      .all()
      .some((session) => session.hasCapabilities(task.requiredCapabilities));
    return able ? 'LANE_BUSY' : 'NO_CAPABLE_AGENT';
  }
}

/**
 * Tells a repeated request from another one with the same id or key: what is to be done counts, and under a key
 * the id too, so that one key never stands for two ids.
 */
function digestOf(request: TaskRequest): string {
  const { creator: _, idempotencyKey, id, ...content } = request;
  const identity = idempotencyKey === undefined ? {} : { id };
  return createHash('sha256')
    .update(JSON.stringify(sorted({ ...content, ...identity })))
    .digest('hex');
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (value === null || typeof value !== 'object') return value;
  const entries = Object.entries(value).filter(([, item]) => item !== undefined);
  return Object.fromEntries(
    entries.sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, item]) => [key, sorted(item)]),
  );
}

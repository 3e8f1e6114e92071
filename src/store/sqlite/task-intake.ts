import type { QueueLimits } from '../../hub/store.js';
import { HubError } from '../../model/hub-error.js';
import { emptyOutcome, isTerminal, type NewTask, type Task } from '../../model/task.js';
import { POOL, type StoredTask } from './task-row.js';
import type { TaskTable } from './task-table.js';

interface Dependencies {
  /** Sequences of those that may still succeed. */
  readonly unmet: readonly number[];
  /** Id of one that cannot succeed any more. */
  readonly failed?: string;
}

/** Takes new tasks in: finds repeats, checks the limits, connects dependencies. */
export class TaskIntake {
  constructor(private readonly table: TaskTable) {}

  /** See TaskStore.create. All checks come before the first write. */
  create(task: NewTask, limits: QueueLimits): { readonly task: Task; readonly created: boolean } {
    const known = this.known(task);
    if (known) return { task: known.task, created: false };
    const owner = task.agent ?? POOL;
    this.checkAgent(owner);
    this.checkQueue(owner, limits.queuedPerAgent);
    this.checkLanes(owner, task.lane, limits.lanesPerAgent);
    const { unmet, failed } = this.dependencies(task.after);
    if (owner !== POOL) {
      this.table.db.run('UPDATE agents SET tasks_received = tasks_received + 1 WHERE id = ?', owner);
    }
    const stored = this.table.insert(task, failed === undefined ? unmet.length : 0);
    if (failed !== undefined) return { task: this.drop(stored, failed).task, created: true };
    for (const needs of unmet) this.connect(needs, stored.task.sequence);
    return { task: stored.task, created: true };
  }

  private known(task: NewTask): StoredTask | undefined {
    const key = task.idempotencyKey;
    const stored = this.table.byId(task.id) ?? (key === undefined ? undefined : this.table.byKey(key));
    if (!stored || stored.task.digest === task.digest) return stored;
    const what = stored.task.id === task.id ? `task ${task.id}` : `a task with idempotency key ${key}`;
    const message = `${what} exists already with other content; repeat it unchanged or choose another one`;
    throw new HubError('TASK_CONFLICT', message, { metadata: { task: stored.task.id } });
  }

  private checkAgent(agent: string): void {
    if (agent === POOL || this.table.db.get('SELECT 1 FROM agents WHERE id = ?', agent)) return;
    throw new HubError('AGENT_NOT_FOUND', `agent ${agent} does not exist`, { metadata: { agent } });
  }

  private checkQueue(owner: string, limit: number): void {
    const { queued, dispatched, running } = this.table.counters.of(owner);
    if (queued + dispatched + running < limit) return;
    const message = `${nameOf(owner)} has ${limit} unfinished tasks, which is the limit; try again when some have ended`;
    throw new HubError('QUEUE_FULL', message, {
      metadata: { agent: owner, limit: String(limit) },
      retryAfterMs: 1000,
    });
  }

  private checkLanes(owner: string, lane: string, limit: number): void {
    const inLane =
      'SELECT 1 FROM tasks INDEXED BY tasks_lanes WHERE owner = ? AND lane = ? AND phase < 2 LIMIT 1';
    if (this.table.db.get(inLane, owner, lane)) return;
    if (lanesOf(this.table, owner, limit).length < limit) return;
    const message = `lane: ${nameOf(owner)} has tasks in ${limit} lanes, which is the limit; use one of them`;
    throw new HubError('LANE_LIMIT', message, {
      metadata: { agent: owner, lane, limit: String(limit) },
      retryAfterMs: 1000,
    });
  }

  private dependencies(ids: readonly string[]): Dependencies {
    const unmet: number[] = [];
    let failed: string | undefined;
    for (const id of new Set(ids)) {
      const sql = 'SELECT sequence, state FROM tasks WHERE id = ?';
      const row = this.table.db.get<{ sequence: number; state: Task['state'] }>(sql, id);
      if (!row)
        throw new HubError('TASK_NOT_FOUND', `after: task ${id} does not exist`, { metadata: { task: id } });
      if (!isTerminal(row.state)) unmet.push(row.sequence);
      else if (row.state !== 'SUCCEEDED') failed ??= id;
    }
    return failed === undefined ? { unmet } : { unmet, failed };
  }

  private connect(needs: number, task: number): void {
    this.table.db.run('INSERT INTO task_dependencies (needs, task) VALUES (?, ?)', needs, task);
  }

  private drop(stored: StoredTask, failed: string): StoredTask {
    const atMs = stored.task.createMs;
    return this.table.change(stored, { type: 'drop', atMs, outcome: dependencyFailed(failed) }, atMs);
  }
}

/** Outcome of a task that needed another one, which cannot succeed any more. */
export function dependencyFailed(id: string): ReturnType<typeof emptyOutcome> {
  return emptyOutcome('DEPENDENCY_FAILED', `task ${id}, which had to succeed first, did not`);
}

/** Lanes of an owner that have unfinished tasks, at most `limit`, without looking at every task. */
export function lanesOf(table: TaskTable, owner: string, limit: number): readonly string[] {
  const rows = table.db.all<{ lane: string }>(LANES, owner, owner, limit);
  return rows.map((row) => row.lane);
}

const LANES = `
  WITH RECURSIVE lanes (lane) AS (
    SELECT * FROM (SELECT lane FROM tasks INDEXED BY tasks_lanes WHERE owner = ? AND phase < 2 ORDER BY lane LIMIT 1)
    UNION ALL
    SELECT (SELECT lane FROM tasks INDEXED BY tasks_lanes WHERE owner = ? AND phase < 2 AND lane > lanes.lane ORDER BY lane LIMIT 1)
    FROM lanes WHERE lanes.lane IS NOT NULL
  )
  SELECT lane FROM lanes WHERE lane IS NOT NULL LIMIT ?`;

function nameOf(owner: string): string {
  return owner === POOL ? 'the queue of tasks for any agent' : `agent ${owner}`;
}

import { type Attempt, emptyOutcome, isTerminal, type NewTask, type Task } from '../../model/task.js';
import { applyTaskEvent, type TaskEvent } from '../../model/task-events.js';
import type { Database } from './database.js';
import type { EventLog } from './event-log.js';
import { sealed, unsealed } from './sealed-json.js';
import type { TaskCache } from './task-cache.js';
import type { TaskCounters } from './task-counters.js';
import {
  type CurrentRun,
  capabilityKey,
  currentAttempt,
  detailsOf,
  fromRow,
  isDeadLetter,
  ownerOf,
  POOL,
  phaseOf,
  type StoredTask,
  TASK_COLUMNS,
  type TaskRow,
} from './task-row.js';

/** The table of tasks with everything that must change together with a row: counters, attempts, events. */
export class TaskTable {
  constructor(
    readonly db: Database,
    readonly counters: TaskCounters,
    private readonly events: EventLog,
    private readonly cache: TaskCache,
  ) {}

  byId(id: string): StoredTask | undefined {
    const known = this.cache.get(id);
    return known ?? one(this.db.get<TaskRow>(`SELECT ${TASK_COLUMNS} FROM tasks WHERE id = ?`, id));
  }

  byKey(key: string): StoredTask | undefined {
    return one(this.db.get<TaskRow>(`SELECT ${TASK_COLUMNS} FROM tasks WHERE idempotency_key = ?`, key));
  }

  /** Tasks that an agent has in hand, in order of acceptance. */
  inHand(agent: string): readonly Task[] {
    const sql = `SELECT ${TASK_COLUMNS} FROM tasks INDEXED BY tasks_in_hand
      WHERE owner = ? AND phase = 1 ORDER BY sequence`;
    return this.db.all<TaskRow>(sql, agent).map((row) => fromRow(row).task);
  }

  /** QUEUED tasks that wait until an attempt on this agent is known to be over. */
  fencedBy(agent: string): readonly Task[] {
    const sql = `SELECT ${TASK_COLUMNS} FROM tasks INDEXED BY tasks_fenced WHERE fenced_by = ? ORDER BY sequence`;
    return this.db.all<TaskRow>(sql, agent).map((row) => fromRow(row).task);
  }

  /** Attempts of a task, oldest first. */
  attempts(stored: StoredTask): readonly Attempt[] {
    const sql = 'SELECT record FROM attempts WHERE task = ? ORDER BY number';
    const earlier = this.db.all<{ record: string }>(sql, stored.task.sequence);
    const current = currentAttempt(stored);
    return [...earlier.map((row) => unsealed<Attempt>(row.record)), ...(current ? [current] : [])];
  }

  /** Stores a task as QUEUED. */
  insert(task: NewTask, unmet: number): StoredTask {
    const owner = ownerOf(task);
    const fresh = { attempt: 0, failedRuns: 0, cancelRequested: false };
    const spec = sealed(task);
    const row = this.db.get<{ sequence: number }>(
      `INSERT INTO tasks (id, idempotency_key, owner, lane, phase, state, type, stop, unmet, priority,
         capabilities, expire_ms, end_ms, dead, spec, details)
       VALUES (?, ?, ?, ?, 0, 'QUEUED', ?, ?, ?, ?, ?, ?, NULL, 0, ?, ?) RETURNING sequence`,
      task.id,
      task.idempotencyKey ?? null,
      owner,
      task.lane,
      task.spec.type,
      task.onFailure === 'STOP' ? 1 : 0,
      unmet,
      task.priority,
      owner === POOL ? capabilityKey(task.requiredCapabilities) : '',
      task.ttlMs === undefined ? null : Math.ceil(task.createMs + task.ttlMs),
      spec,
      sealed({ ...fresh, state: 'QUEUED', owner }),
    );
    this.db.writes++;
    const sequence = row?.sequence ?? 0;
    const queued: Task = { ...task, ...fresh, sequence, state: 'QUEUED', pooled: owner === POOL };
    const stored: StoredTask = { task: queued, unmet, specChars: spec.length };
    this.cache.put(stored);
    this.counters.add(owner, 'QUEUED', 1);
    this.tell(queued, task.createMs);
    return stored;
  }

  /** Applies an event to a task; answers the same object when it changes nothing. */
  change(before: StoredTask, event: TaskEvent, nowMs: number): StoredTask {
    const task = applyTaskEvent(before.task, event);
    if (task === before.task) return before;
    const run = nextRun(before.run, task, event);
    const { specChars } = before;
    const unmet = before.unmet + (task.fence ? 1 : 0) - (before.task.fence ? 1 : 0);
    const after: StoredTask = run ? { task, run, unmet, specChars } : { task, unmet, specChars };
    if (before.run && !run) this.keepAttempt(before, event, nowMs);
    if (before.task.fence && event.type === 'ended') this.amendAttempt(before, after, event);
    this.update(before.task, after);
    if (unmet !== before.unmet) this.setFence(after);
    this.cache.put(after);
    if (task.state !== before.task.state) this.moved(before.task, task, nowMs);
    return after;
  }

  /** One dependency of a task has succeeded. */
  dependencyMet(sequence: number, id: string): void {
    this.db.run('UPDATE tasks SET unmet = unmet - 1 WHERE sequence = ?', sequence);
    this.cache.forget(id);
  }

  /** A fence counts as one dependency that is not met, so that nothing claims the task. */
  private setFence({ task, unmet }: StoredTask): void {
    const sql = 'UPDATE tasks SET unmet = ?, fenced_by = ? WHERE sequence = ?';
    this.db.run(sql, unmet, task.fence?.agent ?? null, task.sequence);
  }

  /** Few columns are set, since each one costs the indexes that it stands in. */
  private update(before: Task, after: StoredTask): void {
    const { task } = after;
    const { sequence, state } = task;
    const [phase, details] = [phaseOf(state), detailsOf(after)];
    if (phase === phaseOf(before.state)) {
      this.db.run('UPDATE tasks SET state = ?, details = ? WHERE sequence = ?', state, details, sequence);
      return;
    }
    if (ownerOf(before) !== ownerOf(task)) {
      this.db.run('UPDATE tasks SET owner = ? WHERE sequence = ?', ownerOf(task), sequence);
    }
    if (phase < 2) {
      const sql = 'UPDATE tasks SET state = ?, details = ?, phase = ? WHERE sequence = ?';
      this.db.run(sql, state, details, phase, sequence);
      return;
    }
    const sql = 'UPDATE tasks SET state = ?, details = ?, phase = 2, end_ms = ?, dead = ? WHERE sequence = ?';
    this.db.run(sql, state, details, Math.trunc(task.endMs ?? 0), isDeadLetter(task) ? 1 : 0, sequence);
  }

  private moved(before: Task, after: Task, nowMs: number): void {
    this.counters.add(ownerOf(before), before.state, -1);
    this.counters.add(ownerOf(after), after.state, 1);
    this.tell(after, nowMs);
    if (!isTerminal(after.state)) return;
    if (isDeadLetter(after)) this.counters.addDead(1);
    if (after.agent === undefined) return;
    const column = after.state === 'SUCCEEDED' ? 'tasks_completed' : 'tasks_failed';
    this.db.run(`UPDATE agents SET ${column} = ${column} + 1 WHERE id = ?`, after.agent);
  }

  /** An attempt that is over while its task goes on has its record in a table of its own. */
  private keepAttempt(before: StoredTask, event: TaskEvent, nowMs: number): void {
    const attempt = currentAttempt(before);
    if (!attempt) return;
    const record = endedAttempt(attempt, event, nowMs);
    const sql = 'INSERT INTO attempts (task, number, record) VALUES (?, ?, ?)';
    this.db.run(sql, before.task.sequence, attempt.number, sealed(record));
  }

  /** What an agent says late of an attempt that is recorded as LOST already. */
  private amendAttempt(
    before: StoredTask,
    { task }: StoredTask,
    event: Extract<TaskEvent, { type: 'ended' }>,
  ): void {
    const where = [before.task.sequence, event.attempt] as const;
    const row = this.db.get<{ record: string }>(
      'SELECT record FROM attempts WHERE task = ? AND number = ?',
      ...where,
    );
    if (!row) return;
    const attempt = unsealed<Attempt>(row.record);
    const { outcome, state } = event;
    const record: Attempt =
      task.state === 'SUCCEEDED' ? { ...attempt, state, outcome } : { ...attempt, lateOutcome: outcome };
    this.db.run('UPDATE attempts SET record = ? WHERE task = ? AND number = ?', sealed(record), ...where);
  }

  private tell(task: Task, nowMs: number): void {
    const { id, state, outcome } = task;
    const type = EVENT_OF[state] ?? 'task.ended';
    const [reason, message] = isTerminal(state) ? [outcome?.reason ?? '', outcome?.message ?? ''] : ['', ''];
    this.events.append({ type, atMs: nowMs, agent: ownerOf(task), task: id, state, reason, message });
  }
}

const EVENT_OF: Readonly<Record<string, 'task.queued' | 'task.dispatched' | 'task.running'>> = {
  QUEUED: 'task.queued',
  DISPATCHED: 'task.dispatched',
  RUNNING: 'task.running',
};

function one(row: TaskRow | undefined): StoredTask | undefined {
  return row && fromRow(row);
}

function nextRun(run: CurrentRun | undefined, task: Task, event: TaskEvent): CurrentRun | undefined {
  if (event.type === 'dispatch') return { agent: event.agent, dispatchMs: event.atMs };
  if (!run || task.state === 'QUEUED') return undefined;
  if (event.type === 'started' || event.type === 'ended') return { ...startOf(event), ...run };
  return run;
}

function endedAttempt(attempt: Attempt, event: TaskEvent, nowMs: number): Attempt {
  if (event.type === 'ended') {
    const { state, endMs, outcome } = event;
    const started = { ...attempt, ...startOf(event) };
    return { ...started, state, endMs: Math.max(endMs, started.startMs ?? 0), outcome };
  }
  if (event.type === 'lose') return { ...attempt, state: 'LOST', endMs: event.atMs, outcome: event.outcome };
  return { ...attempt, state: 'CANCELLED', endMs: nowMs, outcome: emptyOutcome('NOT_STARTED') };
}

function startOf(event: Extract<TaskEvent, { type: 'started' | 'ended' }>): { startMs?: number } {
  return event.startMs === undefined ? {} : { startMs: event.startMs };
}

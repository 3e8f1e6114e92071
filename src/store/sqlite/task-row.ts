import type { Attempt, NewTask, Task, TaskOutcome, TaskState } from '../../model/task.js';
import { isTerminal } from '../../model/task.js';
import { damagedRecord, sealed, unsealed } from './sealed-json.js';

/** Owner of tasks that wait for any agent. */
export const POOL = '';

/** tasks.phase: what the partial indexes tell apart. */
export type Phase = 0 | 1 | 2;

/** The attempt that a task has in hand or ended with. Earlier ones are in the table `attempts`. */
export interface CurrentRun {
  readonly agent: string;
  readonly dispatchMs: number;
  readonly startMs?: number;
}

/** A task with what only the store knows of it. */
export interface StoredTask {
  readonly task: Task;
  readonly run?: CurrentRun;
  /** Dependencies that have not succeeded yet. */
  readonly unmet: number;
  /** Length of the column `spec`. */
  readonly specChars: number;
}

/** Columns from which a task is made. */
export interface TaskRow {
  readonly sequence: number;
  readonly owner: string;
  readonly state: TaskState;
  readonly unmet: number;
  readonly spec: string;
  readonly details: string;
}

/** What changes in the life of a task, kept as JSON. */
interface Details {
  /** As the columns, which have no checksum. */
  readonly state?: TaskState;
  readonly owner?: string;
  readonly attempt: number;
  readonly failedRuns: number;
  readonly cancelRequested: boolean;
  readonly dispatchMs?: number;
  readonly startMs?: number;
  readonly endMs?: number;
  readonly outcome?: TaskOutcome;
  readonly lateOutcome?: TaskOutcome;
  readonly fence?: Task['fence'];
  readonly run?: CurrentRun;
}

/** The columns of {@link TaskRow}, for SELECT. */
export const TASK_COLUMNS = 'sequence, owner, state, unmet, spec, details';

/** Makes a task from its row. */
export function fromRow(row: TaskRow): StoredTask {
  const spec = unsealed<NewTask>(row.spec);
  const columns = { state: row.state, owner: row.owner };
  const { run, state: sealedState, owner, ...details } = { ...columns, ...unsealed<Details>(row.details) };
  if (sealedState !== row.state || owner !== row.owner) throw damagedRecord();
  const agent = row.owner === POOL ? {} : { agent: row.owner };
  const { sequence, state, unmet } = row;
  const task: Task = { ...spec, ...agent, ...details, sequence, state, pooled: spec.agent === undefined };
  const specChars = row.spec.length;
  return run ? { task, run, unmet, specChars } : { task, unmet, specChars };
}

/** The column `details` of a task. */
export function detailsOf({ task, run }: StoredTask): string {
  const {
    state,
    attempt,
    failedRuns,
    cancelRequested,
    dispatchMs,
    startMs,
    endMs,
    outcome,
    lateOutcome,
    fence,
  } = task;
  const details: Details = {
    state,
    owner: ownerOf(task),
    attempt,
    failedRuns,
    cancelRequested,
    ...(dispatchMs === undefined ? {} : { dispatchMs }),
    ...(startMs === undefined ? {} : { startMs }),
    ...(endMs === undefined ? {} : { endMs }),
    ...(outcome === undefined ? {} : { outcome }),
    ...(lateOutcome === undefined ? {} : { lateOutcome }),
    ...(fence === undefined ? {} : { fence }),
    ...(run === undefined ? {} : { run }),
  };
  return sealed(details);
}

/** The column `phase` of a state. */
export function phaseOf(state: TaskState): Phase {
  if (state === 'QUEUED') return 0;
  return isTerminal(state) ? 2 : 1;
}

/** The column `owner` of a task. */
export function ownerOf(task: Pick<Task, 'agent'>): string {
  return task.agent ?? POOL;
}

/** Whether a task ended without having run to its end. */
export function isDeadLetter(task: Task): boolean {
  return task.state === 'LOST' || (task.state === 'FAILED' && task.startMs === undefined);
}

/** Whether a lane with `onFailure: STOP` stops behind a task that ended so. */
export function stopsLane(task: Task): boolean {
  const failed = task.state === 'FAILED' || task.state === 'TIMED_OUT' || task.state === 'LOST';
  return failed && task.onFailure === 'STOP';
}

/** The attempt that a task has in hand or ended with. */
export function currentAttempt({ task, run }: StoredTask): Attempt | undefined {
  if (!run) return undefined;
  const end = task.endMs === undefined ? {} : { endMs: task.endMs };
  const outcome = task.outcome === undefined ? {} : { outcome: task.outcome };
  const late = task.lateOutcome === undefined ? {} : { lateOutcome: task.lateOutcome };
  return { number: task.attempt, state: task.state, ...run, ...end, ...outcome, ...late };
}

/** The same set of capabilities always has the same key. */
export function capabilityKey(capabilities: readonly string[]): string {
  return JSON.stringify([...new Set(capabilities)].sort());
}

/** A row with columns that say again what its sealed texts say. */
export interface DoubtfulTaskRow extends TaskRow {
  readonly id: string;
  readonly lane: string;
  readonly phase: number;
}

/** The task of a row, if its columns are what they were. @throws HubError STORE_CORRUPT. */
export function fromDoubtfulRow(row: DoubtfulTaskRow): Task {
  const { task } = fromRow(row);
  if (task.id !== row.id || task.lane !== row.lane || phaseOf(task.state) !== row.phase)
    throw damagedRecord();
  return task;
}

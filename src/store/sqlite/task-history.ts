import type { TaskFilter } from '../../hub/store.js';
import type { Task } from '../../model/task.js';
import { fromRow, TASK_COLUMNS, type TaskRow } from './task-row.js';
import type { TaskTable } from './task-table.js';

/** Numbers of acceptance that one step of a list looks at, so that a rare filter never blocks the event loop. */
const STEP = 10_000;

/** One step of a list. */
export interface HistoryStep {
  readonly tasks: readonly Task[];
  /** Where the next step begins; undefined when nothing is left. */
  readonly before?: number;
}

/** Lists and removes tasks that may be long over. */
export class TaskHistory {
  constructor(private readonly table: TaskTable) {}

  /** At most `size` tasks before a number of acceptance, newest first; the caller goes on until it has enough. */
  step(filter: TaskFilter, size: number, before: number | undefined): HistoryStep {
    const { db } = this.table;
    const sql = 'SELECT min(sequence) AS first, max(sequence) AS last FROM tasks';
    const { first, last } = db.get<{ first: number | null; last: number | null }>(sql) ?? NO_TASKS;
    if (first === null || last === null) return { tasks: [] };
    const top = before ?? last + 1;
    const bottom = Math.max(top - STEP, first);
    const rows = db.all<TaskRow>(
      filter.deadLetters ? DEAD : filter.agent === undefined ? ALL : OF_AGENT,
      ...(filter.agent !== undefined && !filter.deadLetters ? [filter.agent] : []),
      top,
      bottom,
      ...twice(filter.agent ?? null),
      ...twice(filter.states ? JSON.stringify(filter.states) : null),
      ...twice(filter.type ?? null),
      ...twice(filter.endedAfterMs ?? null),
      size,
    );
    const tasks = rows.map((row) => fromRow(row).task);
    return bottom <= first || tasks.length === size ? { tasks } : { tasks, before: bottom };
  }

  /** See TaskStore.expired. */
  expired(nowMs: number, limit: number): readonly string[] {
    const sql = `SELECT id FROM tasks WHERE phase = 0 AND expire_ms IS NOT NULL AND expire_ms <= ?
      ORDER BY expire_ms LIMIT ?`;
    return this.table.db.all<{ id: string }>(sql, nowMs, limit).map((row) => row.id);
  }

  /** See TaskStore.purge. */
  purge(beforeMs: number, limit: number): readonly string[] {
    const { db } = this.table;
    const sql = 'SELECT sequence, id, dead FROM tasks WHERE phase = 2 AND end_ms < ? ORDER BY end_ms LIMIT ?';
    const rows = db.all<{ sequence: number; id: string; dead: number }>(sql, beforeMs, limit);
    for (const { sequence } of rows) db.run('DELETE FROM tasks WHERE sequence = ?', sequence);
    const dead = rows.filter((row) => row.dead === 1).length;
    if (dead > 0) this.table.counters.addDead(-dead);
    return rows.map((row) => row.id);
  }
}

/** For `? IS NULL OR column = ?`. Numbered parameters do not work in every release of `node:sqlite`. */
function twice<T>(value: T): [T, T] {
  return [value, value];
}

const NO_TASKS = { first: null, last: null };

const FILTERED = `sequence < ? AND sequence >= ?
    AND (? IS NULL OR owner = ?)
    AND (? IS NULL OR state IN (SELECT value FROM json_each(?)))
    AND (? IS NULL OR type = ?)
    AND (? IS NULL OR end_ms > ?)
  ORDER BY sequence DESC LIMIT ?`;

const ALL = `SELECT ${TASK_COLUMNS} FROM tasks WHERE ${FILTERED}`;
const OF_AGENT = `SELECT ${TASK_COLUMNS} FROM tasks INDEXED BY tasks_owner WHERE owner = ? AND ${FILTERED}`;
const DEAD = `SELECT ${TASK_COLUMNS} FROM tasks INDEXED BY tasks_dead WHERE dead = 1 AND ${FILTERED}`;

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
      top,
      bottom,
      filter.agent ?? null,
      filter.states ? JSON.stringify(filter.states) : null,
      filter.type ?? null,
      filter.endedAfterMs ?? null,
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

const NO_TASKS = { first: null, last: null };

const FILTERED = `sequence < ?1 AND sequence >= ?2
    AND (?3 IS NULL OR owner = ?3)
    AND (?4 IS NULL OR state IN (SELECT value FROM json_each(?4)))
    AND (?5 IS NULL OR type = ?5)
    AND (?6 IS NULL OR end_ms > ?6)
  ORDER BY sequence DESC LIMIT ?7`;

const ALL = `SELECT ${TASK_COLUMNS} FROM tasks WHERE ${FILTERED}`;
const OF_AGENT = `SELECT ${TASK_COLUMNS} FROM tasks INDEXED BY tasks_owner WHERE owner = ?3 AND ${FILTERED}`;
const DEAD = `SELECT ${TASK_COLUMNS} FROM tasks INDEXED BY tasks_dead WHERE dead = 1 AND ${FILTERED}`;

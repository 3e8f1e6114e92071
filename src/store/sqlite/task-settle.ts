import type { ApplyOptions, ApplyResult } from '../../hub/store.js';
import { HubError } from '../../model/hub-error.js';
import { emptyOutcome, isTerminal, type Task, type TaskOutcome } from '../../model/task.js';
import type { TaskEvent } from '../../model/task-events.js';
import { dependencyFailed } from './task-intake.js';
import { fromRow, ownerOf, type StoredTask, stopsLane, TASK_COLUMNS, type TaskRow } from './task-row.js';
import type { TaskTable } from './task-table.js';

type DropEvent = Extract<TaskEvent, { type: 'drop' }>;

interface Consequences {
  readonly dropped: Task[];
  readonly released: Set<string>;
}

/** Applies events to tasks and draws what follows for the tasks behind them. */
export class TaskSettle {
  constructor(private readonly table: TaskTable) {}

  /** See TaskStore.apply. */
  apply(id: string, event: TaskEvent, { nowMs, ack }: ApplyOptions): ApplyResult {
    const before = this.table.byId(id);
    if (!before)
      throw new HubError('TASK_NOT_FOUND', `task ${id} does not exist`, { metadata: { task: id } });
    if (ack) this.acknowledge(ack);
    const after = this.table.change(before, event, nowMs);
    const { dropped, released } =
      isTerminal(after.task.state) && !isTerminal(before.task.state) ? this.settle([after], nowMs) : NOTHING;
    return { before: before.task, task: after.task, dropped, released: [...released] };
  }

  /** Drops what is QUEUED for an owner, lane by lane; answers also what fell with it. */
  dropQueued(owner: string, event: DropEvent, limit: number): readonly Task[] {
    const sql = `SELECT ${TASK_COLUMNS} FROM tasks INDEXED BY tasks_lanes
      WHERE owner = ? AND phase < 2 AND phase = 0 LIMIT ?`;
    const ended = this.dropAll(this.table.db.all<TaskRow>(sql, owner, limit), event.outcome, event.atMs);
    return [...ended.map(({ task }) => task), ...this.settle(ended, event.atMs).dropped];
  }

  /** What ended tasks mean for others, and what those mean, until nothing more follows. */
  private settle(ended: readonly StoredTask[], nowMs: number): Consequences {
    const result: Consequences = { dropped: [], released: new Set() };
    const todo = [...ended];
    for (let next = todo.pop(); next; next = todo.pop()) {
      const fallen = [...this.stopLane(next.task, nowMs), ...this.settleDependents(next, result, nowMs)];
      result.dropped.push(...fallen.map(({ task }) => task));
      todo.push(...fallen);
    }
    return result;
  }

  private stopLane(task: Task, nowMs: number): readonly StoredTask[] {
    if (!stopsLane(task)) return [];
    const sql = `SELECT ${TASK_COLUMNS} FROM tasks INDEXED BY tasks_lanes
      WHERE owner = ? AND lane = ? AND sequence > ? AND phase < 2 AND phase = 0 ORDER BY sequence`;
    const rows = this.table.db.all<TaskRow>(sql, ownerOf(task), task.lane, task.sequence);
    return this.dropAll(
      rows,
      emptyOutcome('LANE_STOPPED', `task ${task.id} failed, which stops its lane`),
      nowMs,
    );
  }

  private settleDependents(
    { task, unmet }: StoredTask,
    result: Consequences,
    nowMs: number,
  ): readonly StoredTask[] {
    const { db } = this.table;
    if (unmet > 0) db.run('DELETE FROM task_dependencies WHERE task = ?', task.sequence);
    const rows = db.all<TaskRow>(DEPENDENTS, task.sequence);
    if (rows.length === 0) return [];
    for (const { owner } of rows) result.released.add(owner);
    db.run('DELETE FROM task_dependencies WHERE needs = ?', task.sequence);
    if (task.state !== 'SUCCEEDED') return this.dropAll(rows, dependencyFailed(task.id), nowMs);
    for (const { sequence } of rows)
      db.run('UPDATE tasks SET unmet = unmet - 1 WHERE sequence = ?', sequence);
    return [];
  }

  private dropAll(rows: readonly TaskRow[], outcome: TaskOutcome, atMs: number): readonly StoredTask[] {
    return rows.map((row) => this.table.change(fromRow(row), { type: 'drop', atMs, outcome }, atMs));
  }

  private acknowledge({ agent, journalId, sequence }: NonNullable<ApplyOptions['ack']>): void {
    const sql = `UPDATE agents SET acked_sequence = ? WHERE id = ? AND journal_id = ? AND acked_sequence < ?`;
    this.table.db.run(sql, sequence, agent, journalId, sequence);
  }
}

const NOTHING: Consequences = { dropped: [], released: new Set() };

const DEPENDENTS = `SELECT ${TASK_COLUMNS} FROM tasks
  WHERE sequence IN (SELECT task FROM task_dependencies WHERE needs = ?) ORDER BY sequence`;

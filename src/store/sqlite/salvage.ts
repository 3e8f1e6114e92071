import { messageOf } from '../../base/errno.js';
import type { Database } from './database.js';
import { type SalvageSource, salvageRows } from './salvage-rows.js';
import { unsealed } from './sealed-json.js';
import type { SqlValue } from './sqlite-binding.js';
import { type DoubtfulTaskRow, fromDoubtfulRow } from './task-row.js';

/** Rows that are not in the new database. */
export interface LostRows {
  readonly table: string;
  /** Which, and why. */
  readonly what: string;
}

/** What {@link salvage} did. */
export interface Salvaged {
  /** Rows per table. */
  readonly kept: Readonly<Record<string, number>>;
  readonly lost: readonly LostRows[];
}

interface Table extends SalvageSource {
  readonly name: string;
  readonly sealed: readonly string[];
}

/** In an order in which nothing refers to what comes later. */
const TABLES: readonly Table[] = [
  { name: 'agents', from: 'agents', key: ['id'], sealed: ['record'] },
  { name: 'vms', from: 'vms', key: ['name'], sealed: ['record'] },
  { name: 'values', from: '"values"', key: ['key'], sealed: [] },
  { name: 'tasks', from: 'tasks', key: ['sequence'], sealed: ['spec', 'details'] },
  { name: 'attempts', from: 'attempts', key: ['task', 'number'], sealed: ['record'] },
  { name: 'task_dependencies', from: 'task_dependencies', key: ['needs', 'task'], sealed: [] },
  { name: 'events', from: 'events', key: ['last'], sealed: ['records'] },
  { name: 'output_streams', from: 'output_streams', key: ['task', 'attempt', 'stream'], sealed: [] },
  { name: 'output_extents', from: 'output_extents', key: ['scope', 'start'], sealed: [] },
  { name: 'output_log', from: 'output_log', key: ['id'], sealed: [] },
];

/** Names of the tables that are read. */
export const SALVAGED_TABLES = TABLES.map(({ name }) => name);

const TASK_IDS: SalvageSource = {
  from: 'tasks INDEXED BY sqlite_autoindex_tasks_1',
  columns: 'id',
  key: ['id'],
};

/** Session numbers that are passed over: those of commits that are lost must not be given again. */
const SESSIONS_SKIPPED = 1000;

/** Copies every row that can be read, and is what was stored, into an empty database of the newest schema. */
export function salvage(source: Database, target: Database): Salvaged {
  const kept: Record<string, number> = {};
  const lost: LostRows[] = [];
  target.exec('BEGIN IMMEDIATE');
  for (const table of TABLES) {
    const found = salvageRows(source, table);
    const good = found.rows.filter((row) => keep(target, table, row, lost));
    kept[table.name] = good.length;
    lost.push(...found.unread.map((what) => ({ table: table.name, what })));
  }
  lost.push(...missingTasks(source, target));
  mend(target);
  target.exec('COMMIT');
  return { kept, lost };
}

type Row = Readonly<Record<string, SqlValue>>;

function keep(target: Database, { name, from, key, sealed }: Table, row: Row, lost: LostRows[]): boolean {
  try {
    for (const column of sealed) unsealed(String(row[column]));
    if (name === 'tasks') fromDoubtfulRow(row as unknown as DoubtfulTaskRow);
    const columns = Object.keys(row);
    const verb = name === 'output_log' ? 'REPLACE' : 'INSERT';
    const places = columns.map(() => '?').join(', ');
    target.run(`${verb} INTO ${from} (${columns.join(', ')}) VALUES (${places})`, ...Object.values(row));
    return true;
  } catch (err) {
    const about = [...key, ...('id' in row ? ['id'] : [])].map((column) => `${column} ${row[column]}`);
    lost.push({ table: name, what: `${[...new Set(about)].join(', ')}: ${messageOf(err)}` });
    return false;
  }
}

/** The index of ids knows also tasks whose rows cannot be read. */
function missingTasks(source: Database, target: Database): readonly LostRows[] {
  const { rows } = salvageRows(source, TASK_IDS);
  const missing = rows.filter(({ id = '' }) => !target.get('SELECT 1 FROM tasks WHERE id = ?', id));
  return missing.map(({ id }) => ({ table: 'tasks', what: `task ${id}` }));
}

/** Makes what refers to each other fit again. */
function mend(target: Database): void {
  target.run('UPDATE agents SET session_generation = session_generation + ?', SESSIONS_SKIPPED);
  target.run(
    'UPDATE output_log SET end = max(end, (SELECT coalesce(max(end), 0) FROM output_extents)) WHERE id = 0',
  );
}

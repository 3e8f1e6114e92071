import type { Database } from './database.js';
import type { SqlValue } from './sqlite-binding.js';

/** Rows that are read at once, fewer and fewer where there is damage. */
const STEPS = [500, 20, 1];

/** Keys between two readable rows that are tried one by one. */
const MAX_PROBES = 100_000;

/** Where rows come from. */
export interface SalvageSource {
  /** What stands behind FROM. */
  readonly from: string;
  /** Default: all. */
  readonly columns?: string;
  /** Columns by which the rows are ordered and unique. */
  readonly key: readonly string[];
}

type Row = Readonly<Record<string, SqlValue>>;

/** What could be read. */
export interface FoundRows {
  readonly rows: readonly Row[];
  /** What could not, in words. */
  readonly unread: readonly string[];
}

/**
 * Reads around damaged pages: from the beginning as far as it goes, from the end as far as it goes, and what lies
 * between by its number where the key is one.
 */
export function salvageRows(db: Database, source: SalvageSource): FoundRows {
  const up = readFrom(db, source, 'up', undefined);
  if (up.whole) return { rows: up.rows, unread: [] };
  const down = readFrom(db, source, 'down', up.rows.at(-1));
  const [low, high] = [up.rows.at(-1), down.rows.at(-1)];
  const between = probe(db, source, low, high);
  const about = `what lies between ${nameOf(source, low) || 'the beginning'} and ${nameOf(source, high) || 'the end'}`;
  const note = between.length > 0 ? `${about}, but for ${between.length} rows` : about;
  return { rows: [...up.rows, ...between, ...down.rows], unread: [`${note}: the page is damaged`] };
}

function readFrom(
  db: Database,
  { from, columns = '*', key }: SalvageSource,
  way: 'up' | 'down',
  stopAt: Row | undefined,
): { readonly rows: readonly Row[]; readonly whole: boolean } {
  const rows: Row[] = [];
  const [sign, order] = way === 'up' ? ['>', 'ASC'] : ['<', 'DESC'];
  const list = (text: (column: string) => string) => key.map(text).join(', ');
  const beyond = `(${key.join(', ')}) ${sign} (${list(() => '?')})`;
  const within = stopAt ? `(${key.join(', ')}) > (${list(() => '?')})` : '1';
  for (let step = 0; step < STEPS.length; ) {
    const last = rows.at(-1);
    const where = `${last ? beyond : '1'} AND ${within}`;
    const sql = `SELECT ${columns} FROM ${from} WHERE ${where} ORDER BY ${list((c) => `${c} ${order}`)} LIMIT ${STEPS[step]}`;
    try {
      const found = db.all<Row>(sql, ...keyOf(key, last), ...keyOf(key, stopAt));
      if (found.length === 0) return { rows, whole: true };
      rows.push(...found);
    } catch {
      step += 1;
    }
  }
  return { rows, whole: false };
}

function probe(db: Database, source: SalvageSource, low: Row | undefined, high: Row | undefined): Row[] {
  const { from, columns = '*', key } = source;
  const [column = ''] = key;
  const [first, last] = [Number(low?.[column] ?? 0), Number(high?.[column] ?? Number.NaN)];
  const rows: Row[] = [];
  if (key.length > 1 || !(last - first < MAX_PROBES)) return rows;
  for (let n = first + 1; n < last; n += 1) {
    try {
      rows.push(...db.all<Row>(`SELECT ${columns} FROM ${from} WHERE ${column} = ?`, n));
    } catch {
      // On a damaged page.
    }
  }
  return rows;
}

function keyOf(key: readonly string[], row: Row | undefined): SqlValue[] {
  return row ? key.map((column) => row[column] ?? null) : [];
}

function nameOf({ key }: SalvageSource, row: Row | undefined): string {
  return row ? key.map((column) => `${column} ${row[column]}`).join(', ') : '';
}

import type { StreamKey } from '../../model/output.js';
import {
  type Extent,
  type IndexChange,
  type LogBounds,
  MAX_EXTENT_BYTES,
  type OutputIndex,
  type StreamState,
} from '../output/output-index.js';
import type { Database } from './database.js';
import type { GroupCommit } from './group-commit.js';

/** Rows that one commit of `expire` deletes. */
const EXPIRE_STEP = 5000;

/** The index of the output log in SQLite. */
export class SqliteOutputIndex implements OutputIndex {
  constructor(
    private readonly commits: GroupCommit,
    private readonly db: Database,
  ) {}

  bounds(): Promise<LogBounds> {
    return this.commits.read(() => this.boundsNow());
  }

  commit({ end, streams, extents }: IndexChange): Promise<void> {
    return this.commits.write(() => {
      this.db.run('UPDATE output_log SET end = ? WHERE id = 0', end);
      for (const stream of streams) this.setStream(stream, end);
      for (const extent of extents) this.addExtent(extent);
    });
  }

  stream({ task, attempt, stream }: StreamKey): Promise<StreamState | undefined> {
    const sql = `SELECT next_offset AS nextOffset, lost_bytes AS lostBytes FROM output_streams
      WHERE task = ? AND attempt = ? AND stream = ?`;
    return this.commits.read(() => this.db.get<StreamState>(sql, task, attempt, stream));
  }

  lostBytes(task: string, attempt: number): Promise<number> {
    const sql = 'SELECT sum(lost_bytes) AS n FROM output_streams WHERE task = ? AND attempt = ?';
    return this.commits.read(() => this.db.get<{ n: number | null }>(sql, task, attempt)?.n ?? 0);
  }

  extentsAfter(scope: string, position: number, limit: number): Promise<readonly Extent[]> {
    return this.commits.read(() => {
      const from = this.firstExtent(scope, Math.max(position, this.boundsNow().oldest));
      const sql =
        'SELECT start, end FROM output_extents WHERE scope = ? AND start >= ? ORDER BY start LIMIT ?';
      return this.db.all<Extent>(sql, scope, from, limit);
    });
  }

  extentsBefore(scope: string, position: number, limit: number): Promise<readonly Extent[]> {
    const sql = `SELECT start, end FROM output_extents WHERE scope = ? AND start < ? AND start >= ?
      ORDER BY start DESC LIMIT ?`;
    return this.commits.read(() => this.db.all<Extent>(sql, scope, position, this.boundsNow().oldest, limit));
  }

  async expire(position: number): Promise<void> {
    await this.commits.write(() => this.db.run('UPDATE output_log SET oldest = ? WHERE id = 0', position));
    for (const sql of [OLD_EXTENTS, OLD_STREAMS]) {
      while ((await this.commits.write(() => this.db.run(sql, position, EXPIRE_STEP))) === EXPIRE_STEP);
    }
  }

  private boundsNow(): LogBounds {
    return this.db.get<LogBounds>('SELECT oldest, end FROM output_log WHERE id = 0') ?? { oldest: 0, end: 0 };
  }

  /** Start of the extent in which a position lies, or the position. Extents of a scope do not overlap. */
  private firstExtent(scope: string, position: number): number {
    const last = this.lastExtent(scope, position);
    return last && last.end > position ? last.start : position;
  }

  private lastExtent(scope: string, before: number): Extent | undefined {
    const sql =
      'SELECT start, end FROM output_extents WHERE scope = ? AND start < ? ORDER BY start DESC LIMIT 1';
    return this.db.get<Extent>(sql, scope, before);
  }

  private setStream(
    { task, attempt, stream, nextOffset, lostBytes }: StreamKey & StreamState,
    end: number,
  ): void {
    this.db.run(SET_STREAM, task, attempt, stream, nextOffset, lostBytes, end);
  }

  private addExtent({ scope, start, end }: Extent & { readonly scope: string }): void {
    const last = this.lastExtent(scope, start);
    if (last?.end === start && end - last.start <= MAX_EXTENT_BYTES) {
      this.db.run('UPDATE output_extents SET end = ? WHERE scope = ? AND start = ?', end, scope, last.start);
    } else {
      this.db.run('INSERT INTO output_extents (scope, start, end) VALUES (?, ?, ?)', scope, start, end);
    }
  }
}

const SET_STREAM = `
  INSERT INTO output_streams (task, attempt, stream, next_offset, lost_bytes, position) VALUES (?, ?, ?, ?, ?, ?)
  ON CONFLICT (task, attempt, stream) DO UPDATE
  SET next_offset = excluded.next_offset, lost_bytes = excluded.lost_bytes, position = excluded.position`;

const OLD_EXTENTS = `
  DELETE FROM output_extents WHERE (scope, start) IN
    (SELECT scope, start FROM output_extents WHERE start < ? ORDER BY start LIMIT ?)`;

/** A stream whose task has not ended may still go on, however old its last record is. */
const OLD_STREAMS = `
  DELETE FROM output_streams WHERE (task, attempt, stream) IN
    (SELECT task, attempt, stream FROM output_streams
     WHERE position <= ? AND NOT EXISTS (SELECT 1 FROM tasks WHERE id = output_streams.task AND phase < 2)
     LIMIT ?)`;

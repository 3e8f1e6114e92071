import { Wakeups } from '../../base/wakeups.js';
import type { HubEvent, NewEvent } from '../../model/event.js';
import { HubError } from '../../model/hub-error.js';
import type { Database } from './database.js';
import type { BatchMember } from './group-commit.js';
import { sealed, unsealed } from './sealed-json.js';

/** Most events of one row. */
const ROW_EVENTS = 100;

/** Rows that are read at once. */
const READ_ROWS = 20;

interface EventRow {
  readonly last: number;
  readonly first: number;
  readonly records: string;
}

/**
 * Events in the order of their commits. What one transaction writes is packed into few rows when it commits, so
 * that an event costs far less than a row. The last row is never deleted: it remembers the position.
 */
export class EventLog implements BatchMember {
  readonly wakeups = new Wakeups();
  private stored = 0;
  private fresh: HubEvent[] = [];

  constructor(private readonly db: Database) {}

  /** Finds out where the stored events end. */
  load(): void {
    this.stored = this.db.get<{ last: number | null }>('SELECT max(last) AS last FROM events')?.last ?? 0;
  }

  /** Position of the last event. */
  get last(): number {
    return this.stored + this.fresh.length;
  }

  append(event: NewEvent): HubEvent {
    const placed = { ...event, sequence: this.last + 1 };
    this.fresh.push(placed);
    return placed;
  }

  /** @throws HubError CURSOR_EXPIRED. */
  read(after: number, limit: number): readonly HubEvent[] {
    const first = this.first();
    if (after + 1 < first) {
      const message = `events before ${first} are no longer kept; read on from ${first - 1}`;
      throw new HubError('CURSOR_EXPIRED', message, { metadata: { oldest: String(first - 1) } });
    }
    const found: HubEvent[] = [];
    for (let position = after; found.length < limit; ) {
      const rows = this.rowsBehind(position);
      for (const row of rows) found.push(...eventsOf(row).filter((event) => event.sequence > after));
      const last = rows.at(-1);
      if (!last) break;
      position = last.last;
    }
    found.push(...this.fresh.filter((event) => event.sequence > after));
    return found.slice(0, limit);
  }

  count(): number {
    return this.last - this.first() + 1;
  }

  /** Keeps the newest `keep` stored events. */
  trim(keep: number): void {
    const bound = Math.min(this.last - keep, this.stored);
    if (bound <= 0) return;
    this.db.run('DELETE FROM events WHERE last <= ? AND last < ?', bound, this.stored);
    const sql = 'SELECT last, first, records FROM events WHERE first <= ? ORDER BY last LIMIT 1';
    const row = this.db.get<EventRow>(sql, bound);
    if (!row) return;
    const records = sealed(eventsOf(row).filter((event) => event.sequence > bound));
    this.db.run('UPDATE events SET first = ?, records = ? WHERE last = ?', bound + 1, records, row.last);
  }

  mark(): number {
    return this.fresh.length;
  }

  rollbackTo(mark: number): void {
    this.fresh.length = mark;
  }

  flush(): void {
    for (let i = 0; i < this.fresh.length; i += ROW_EVENTS) {
      const events = this.fresh.slice(i, i + ROW_EVENTS);
      const [first, last] = [events[0], events.at(-1)];
      if (!first || !last) return;
      const sql = 'INSERT INTO events (last, first, records) VALUES (?, ?, ?)';
      this.db.run(sql, last.sequence, first.sequence, sealed(events));
    }
  }

  committed(): void {
    if (this.fresh.length === 0) return;
    this.stored += this.fresh.length;
    this.fresh = [];
    this.wakeups.notify();
  }

  private rowsBehind(position: number): readonly EventRow[] {
    const sql = 'SELECT last, first, records FROM events WHERE last > ? ORDER BY last LIMIT ?';
    return this.db.all<EventRow>(sql, position, READ_ROWS);
  }

  /** Position of the oldest event that is kept, or of the next one. */
  private first(): number {
    const row = this.db.get<{ first: number }>('SELECT first FROM events ORDER BY last LIMIT 1');
    return row?.first ?? this.stored + 1;
  }
}

function eventsOf(row: EventRow): readonly HubEvent[] {
  return unsealed<HubEvent[]>(row.records);
}

import { HubError } from '../model/hub-error.js';

/**
 * Where a reader of the log stands: behind `skip` lines of the record that follows position `after`. The skip
 * is what makes a cursor exact inside a record that holds several lines.
 */
export interface LogCursor {
  readonly after: number;
  readonly skip: number;
}

/** The text of a cursor, such as `4711` or `4711.3`. */
export function formatCursor(cursor: LogCursor): string {
  return cursor.skip === 0 ? String(cursor.after) : `${cursor.after}.${cursor.skip}`;
}

/** Reads a cursor. @throws HubError INVALID_FIELD. */
export function parseCursor(text: string): LogCursor {
  const match = /^(\d{1,15})(?:\.(\d{1,9}))?$/.exec(text);
  if (!match) throw HubError.invalid({ field: 'cursor', description: 'the cursor of a record, unchanged' });
  return { after: Number(match[1]), skip: Number(match[2] ?? 0) };
}

import { isUtf8 } from 'node:buffer';
import type { OutputRecord } from '../model/output.js';
import type { LogEntry } from './api.js';
import { formatCursor } from './log-cursor.js';

const NEWLINE = 10;

/** A record as one entry of bytes, or a gap. */
export function byteEntry(record: OutputRecord): LogEntry {
  return { ...record, cursor: formatCursor({ after: record.cursor, skip: 0 }), partial: false };
}

/**
 * A record as entries of one line each. What follows the last line end is a partial entry: nothing is held back,
 * so every cursor is exact.
 *
 * @param before position in front of the record, for the cursors inside it.
 */
export function* lineEntries(record: OutputRecord, before: number): Generator<LogEntry> {
  if (record.gapBytes > 0) {
    yield byteEntry(record);
    return;
  }
  const data = Buffer.from(record.data.buffer, record.data.byteOffset, record.data.byteLength);
  let start = 0;
  for (let count = 1; start < data.length; count += 1) {
    const newline = data.indexOf(NEWLINE, start);
    const end = newline === -1 ? data.length : newline;
    const next = newline === -1 ? end : end + 1;
    const last = next === data.length;
    const cursor = formatCursor(last ? { after: record.cursor, skip: 0 } : { after: before, skip: count });
    yield {
      ...lineOf(record, data.subarray(start, end)),
      offset: record.offset + start,
      cursor,
      partial: newline === -1,
    };
    start = next;
  }
}

function lineOf(record: OutputRecord, bytes: Buffer): Omit<LogEntry, 'cursor' | 'partial'> {
  const { task, attempt, stream, agent, offset, timeMs, gapBytes } = record;
  const base = { task, attempt, stream, agent, offset, timeMs, gapBytes };
  return isUtf8(bytes) ? { ...base, text: bytes.toString('utf8') } : { ...base, data: bytes };
}

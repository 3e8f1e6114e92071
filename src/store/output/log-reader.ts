import type { OutputScope, ReadPage, ReadQuery } from '../../hub/output-log.js';
import type { OutputRecord } from '../../model/output.js';
import { ExtentReader } from './extent-reader.js';
import { agentScope, type Extent, type OutputIndex, taskScope } from './output-index.js';
import type { Segments } from './segments.js';

/** Extents that are looked up at once. */
const EXTENTS = 256;

/** What a record counts for beside its data, so that pages of tiny records are bounded too. */
const RECORD_COST = 200;

const NEWLINE = 0x0a;

/** Reads the log through its index. */
export class LogReader {
  constructor(
    private readonly index: OutputIndex,
    private readonly segments: Segments,
  ) {}

  /** See OutputLog.read; `end` is the durable end when the call began. */
  async read({ scope, after, maxBytes }: ReadQuery, end: number): Promise<ReadPage> {
    const records: OutputRecord[] = [];
    let position = after;
    let bytes = 0;
    for await (const record of this.recordsAfter(scopeText(scope), after)) {
      records.push(record);
      position = record.cursor;
      bytes += record.data.length + RECORD_COST;
      if (bytes >= maxBytes) return { records, next: position, atEnd: false };
    }
    return { records, next: records.length > 0 ? Math.max(position, end) : end, atEnd: true };
  }

  /** See OutputLog.cursorForLast. */
  async cursorForLast(scope: OutputScope, lines: number, end: number): Promise<number> {
    if (lines <= 0) return end;
    await using reader = new ExtentReader(this.segments);
    let seen = 0;
    for await (const extent of this.extentsBefore(scopeText(scope), end)) {
      const counts = await countLines(reader, extent);
      for (const { start, newlines } of counts.reverse()) {
        seen += newlines;
        if (seen > lines) return start;
      }
    }
    return 0;
  }

  private async *recordsAfter(scope: string, after: number): AsyncIterable<OutputRecord> {
    await using reader = new ExtentReader(this.segments);
    let position = after;
    for (;;) {
      const extents = await this.index.extentsAfter(scope, position, EXTENTS);
      for (const [i, extent] of extents.entries()) {
        yield* reader.records(extent, position, readAhead(extents, i));
        position = Math.max(position, extent.end);
      }
      if (extents.length < EXTENTS) return;
    }
  }

  private async *extentsBefore(scope: string, end: number): AsyncIterable<Extent> {
    let position = end;
    for (;;) {
      const extents = await this.index.extentsBefore(scope, position, EXTENTS);
      yield* extents;
      position = extents.at(-1)?.start ?? 0;
      if (extents.length < EXTENTS) return;
    }
  }
}

/** Extents closer than this are read together. */
const NEAR_BYTES = 64 * 1024;

/** End of the last of the extents from `i` on that lie close to each other. */
function readAhead(extents: readonly Extent[], i: number): number {
  let end = extents[i]?.end ?? 0;
  for (const next of extents.slice(i + 1, i + 33)) {
    if (next.start - end > NEAR_BYTES) break;
    end = next.end;
  }
  return end;
}

async function countLines(
  reader: ExtentReader,
  extent: Extent,
): Promise<{ readonly start: number; readonly newlines: number }[]> {
  const counts: { start: number; newlines: number }[] = [];
  let start = extent.start;
  for await (const { cursor, data } of reader.records(extent, 0, extent.end)) {
    counts.push({ start, newlines: newlinesIn(data) });
    start = cursor;
  }
  return counts;
}

function newlinesIn(data: Uint8Array): number {
  let n = 0;
  for (let at = data.indexOf(NEWLINE); at >= 0; at = data.indexOf(NEWLINE, at + 1)) n++;
  return n;
}

function scopeText(scope: OutputScope): string {
  return 'task' in scope ? taskScope(scope.task) : agentScope(scope.agent);
}

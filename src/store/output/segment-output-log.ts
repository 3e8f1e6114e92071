import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { type Clock, systemClock } from '../../base/clock.js';
import { KeyedMutex } from '../../base/keyed-mutex.js';
import type { Logger } from '../../base/logger.js';
import { Wakeups } from '../../base/wakeups.js';
import type { OutputLog, OutputScope, ReadPage, ReadQuery } from '../../hub/output-log.js';
import { HubError } from '../../model/hub-error.js';
import type { OutputChunk, OutputGap, OutputProgress, StreamKey } from '../../model/output.js';
import { LogReader } from './log-reader.js';
import { LogWriter, writeError } from './log-writer.js';
import type { OutputIndex } from './output-index.js';
import { MAX_RECORD_DATA, type NewRecord } from './record-codec.js';
import { fileIo, type SegmentIo, Segments } from './segments.js';
import { type LiveStream, StreamStates } from './stream-states.js';

/** Options of a {@link SegmentOutputLog}. */
export interface SegmentOutputLogOptions {
  /** Directory of the segments; made when it is missing. */
  readonly dir: string;
  readonly index: OutputIndex;
  readonly log: Logger;
  /** A segment is finished once it is this long. Default 64 MiB. */
  readonly segmentBytes?: number;
  /** Default: the machine's clock. */
  readonly clock?: Clock;
  /** Default: real files. */
  readonly io?: SegmentIo;
}

interface Parts {
  readonly segments: Segments;
  readonly streams: StreamStates;
  readonly writer: LogWriter;
  readonly reader: LogReader;
}

/** A run of a stream that somebody wants to store. */
interface Incoming extends NewRecord {
  readonly length: number;
}

interface Accepted {
  readonly stream: LiveStream;
  readonly rewind: boolean;
  /** Settles when the run is durable; absent when there is nothing to wait for. */
  readonly stored?: Promise<void>;
}

/** A segment is finished once it is this long. */
const DEFAULT_SEGMENT_BYTES = 64 * 1024 * 1024;

const NO_DATA = new Uint8Array(0);

/** The output log in segment files, with its index in the store. */
export class SegmentOutputLog implements OutputLog {
  private readonly wakeups = new Wakeups();
  private readonly turns = new KeyedMutex();
  private readonly clock: Clock;
  private parts: Parts | undefined;
  private oldest = 0;
  private closed = false;

  constructor(private readonly options: SegmentOutputLogOptions) {
    this.clock = options.clock ?? systemClock;
  }

  async open(): Promise<void> {
    const { dir, index, log, segmentBytes = DEFAULT_SEGMENT_BYTES, io = fileIo } = this.options;
    const { oldest, end } = await index.bounds();
    const segments = new Segments(dir, segmentBytes, io, log);
    await segments.open(oldest, end);
    const streams = new StreamStates(index);
    const onDurable = () => this.wakeups.notify();
    const writer = new LogWriter({ segments, index, streams, end, onDurable });
    this.oldest = oldest;
    this.parts = { segments, streams, writer, reader: new LogReader(index, segments) };
  }

  async close(): Promise<void> {
    if (this.closed) return;
    this.closed = true;
    await this.turns.run('append', async () => {});
    await this.turns.run('expire', async () => {});
    await this.parts?.writer.idle();
    await this.parts?.segments.release();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async check(): Promise<void> {
    this.opened();
    try {
      await this.tryWriting();
    } catch (err) {
      throw writeError(err);
    }
  }

  append(chunk: OutputChunk): Promise<OutputProgress> {
    return this.take({ ...chunk, gapBytes: 0, length: chunk.data.length });
  }

  appendGap(gap: OutputGap): Promise<OutputProgress> {
    const { bytes } = gap;
    return this.take({ ...gap, timeMs: this.clock.now(), data: NO_DATA, gapBytes: bytes, length: bytes });
  }

  async progress(key: StreamKey): Promise<OutputProgress> {
    const { nextOffset } = await this.opened().streams.durable(key);
    return answer(key, nextOffset, false);
  }

  lostBytes(task: string, attempt: number): Promise<number> {
    this.opened();
    return this.options.index.lostBytes(task, attempt);
  }

  async read(query: ReadQuery): Promise<ReadPage> {
    const { reader, writer } = this.opened();
    this.checkCursor(query.after);
    const { oldest } = this;
    try {
      return await reader.read(query, writer.end);
    } catch (err) {
      if (this.oldest === oldest) throw err;
    }
    // Segments were deleted under the read.
    this.checkCursor(query.after);
    return reader.read(query, writer.end);
  }

  cursorForLast(scope: OutputScope, lines: number): Promise<number> {
    const { reader, writer } = this.opened();
    return reader.cursorForLast(scope, lines, writer.end);
  }

  end(): number {
    return this.opened().writer.end;
  }

  listen(fn: () => void): Disposable {
    return this.wakeups.listen(fn);
  }

  expire(limits: { readonly maxBytes: number; readonly minTimeMs: number }): Promise<void> {
    return this.turns.run('expire', () => this.expireNow(limits));
  }

  private async tryWriting(): Promise<void> {
    const file = await open(join(this.options.dir, 'check'), 'w', 0o600);
    try {
      await (this.options.io ?? fileIo).write(file, Buffer.alloc(4096), 0);
      await file.datasync();
    } finally {
      await file.close();
    }
  }

  private opened(): Parts {
    if (this.parts && !this.closed) return this.parts;
    throw new HubError('ILLEGAL_STATE', 'the output log of the hub is not open');
  }

  /** Runs are taken in one by one, in the order in which they came; each then waits for the disk by itself. */
  private async take(run: Incoming): Promise<OutputProgress> {
    const parts = this.opened();
    const { stream, rewind, stored } = await this.turns.run('append', () => this.accept(parts, run));
    await stored;
    return answer(stream.key, stream.durable.nextOffset, rewind);
  }

  private async accept({ writer, streams }: Parts, run: Incoming): Promise<Accepted> {
    await writer.room();
    const stream = await streams.get(run);
    const { accepted, durable } = stream;
    if (run.offset > accepted.nextOffset) return { stream, rewind: true };
    const end = run.offset + run.length;
    if (end > accepted.nextOffset) addRun(writer, stream, run);
    return end <= durable.nextOffset
      ? { stream, rewind: false }
      : { stream, rewind: false, stored: stream.last };
  }

  private checkCursor(after: number): void {
    if (after === 0 || after >= this.oldest) return;
    const message =
      'the output behind this cursor is no longer kept; begin with cursor 0 for the oldest there is';
    throw new HubError('LOG_EXPIRED', message, { metadata: { oldest: String(this.oldest) } });
  }

  private async expireNow(limits: { readonly maxBytes: number; readonly minTimeMs: number }): Promise<void> {
    if (this.closed) return;
    const { segments, writer } = this.opened();
    const position = await writer.exclusive(async () => {
      const keep = firstKept(await segments.list(), writer.end, limits);
      if (keep === writer.end) await segments.finish();
      return keep;
    });
    if (position <= this.oldest) return;
    await this.options.index.expire(position);
    this.oldest = position;
    await writer.exclusive(() => segments.deleteBefore(position));
  }
}

/** Takes in what is new of a run, in records of bounded length. */
function addRun(writer: LogWriter, stream: LiveStream, run: Incoming): void {
  const { key } = stream;
  const { agent, timeMs } = run;
  const end = run.offset + run.length;
  const { lostBytes } = stream.accepted;
  let offset = stream.accepted.nextOffset;
  if (run.gapBytes > 0) {
    const gapBytes = end - offset;
    const record = { ...key, agent, timeMs, offset, data: NO_DATA, gapBytes };
    writer.add(record, stream, { nextOffset: end, lostBytes: lostBytes + gapBytes });
    return;
  }
  while (offset < end) {
    const from = offset - run.offset;
    const data = run.data.subarray(from, from + MAX_RECORD_DATA);
    const record = { ...key, agent, timeMs, offset, data, gapBytes: 0 };
    offset += data.length;
    writer.add(record, stream, { nextOffset: offset, lostBytes });
  }
}

function answer(key: StreamKey, nextOffset: number, rewind: boolean): OutputProgress {
  const { task, attempt, stream } = key;
  return { task, attempt, stream, nextOffset, rewind };
}

/** Where the first segment that is kept begins; `end` when none is. */
function firstKept(
  segments: readonly { readonly start: number; readonly timeMs: number }[],
  end: number,
  limits: { readonly maxBytes: number; readonly minTimeMs: number },
): number {
  const kept = segments.find(
    ({ start, timeMs }) => end - start <= limits.maxBytes && timeMs >= limits.minTimeMs,
  );
  return kept?.start ?? (segments.length > 0 ? end : 0);
}

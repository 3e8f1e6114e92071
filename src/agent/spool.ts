import { existsSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { isErrno } from '../base/errno.js';
import type { OutputChunk, OutputGap, OutputStream } from '../model/output.js';
import type { AttemptId } from './attempt-id.js';
import { type SpoolFrame, SpoolSegment } from './spool-segment.js';
import type { SpoolEnd } from './spool-writer.js';
import { TextTail } from './text-tail.js';

const STREAMS = ['STDOUT', 'STDERR'] as const;

/** The next thing to send of one attempt. */
export type SpoolItem =
  | { readonly type: 'chunk'; readonly chunk: Omit<OutputChunk, 'agent'> }
  | { readonly type: 'gap'; readonly gap: Omit<OutputGap, 'agent'> };

/**
 * Reads the output of one attempt from disk, from when it was written until the hub has it.
 *
 * Positions of each stream: `acked` <= `sent` <= `total`. Frames are sent in the order read; bytes below `sent`
 * are passed over, which makes a rewind of one stream harmless for the other. Files whose bytes are all acked
 * are deleted. Bytes that should be there and are not (lost with the power) are sent as a gap.
 */
export class Spool {
  private segments: { readonly number: number; readonly file: SpoolSegment }[] = [];
  private readonly total = { STDOUT: 0, STDERR: 0 };
  private readonly sent = { STDOUT: 0, STDERR: 0 };
  private readonly acked = { STDOUT: 0, STDERR: 0 };
  private readonly tails = { STDOUT: new TextTail(), STDERR: new TextTail() };
  private cursor = { segment: 0, position: 0 };
  /** Number of the file that may still grow. */
  private growing = 1;
  private closed = false;

  /** `onFreed` is told, after files were deleted, the number below which there are none. */
  constructor(
    readonly id: AttemptId,
    private readonly dir: string,
    private readonly onFreed: (before: number) => void = () => {},
  ) {}

  /** Takes up what is on disk; that is nothing when the task wrote nothing. */
  recover(): void {
    const names = existsSync(this.dir) ? readdirSync(this.dir) : [];
    const numbers = names.map(Number).filter(Number.isInteger);
    for (const number of numbers.sort((a, b) => a - b)) {
      const file = this.open(number);
      this.growing = number;
      file?.recover((frame) => {
        this.total[frame.stream] = frame.offset + frame.data.length;
        this.tails[frame.stream].push(frame.data);
      });
    }
    this.rewindCursor();
  }

  /** Bytes that were read, or that should have been: a larger number than is there makes a gap. */
  get totals(): Readonly<Record<OutputStream, number>> {
    return this.total;
  }

  /** The ends of the streams according to the journal, which knows better than a spool that lost its tail. */
  declareTotals(totals: Readonly<Record<OutputStream, number>>): void {
    for (const stream of STREAMS) this.total[stream] = Math.max(this.total[stream], totals[stream]);
  }

  /** The last text of a stream. */
  tail(stream: OutputStream): string {
    return this.tails[stream].text();
  }

  /** More was written. */
  extend({ segment, size, totals }: SpoolEnd): void {
    if (this.closed) return;
    for (const { number, file } of this.segments) if (number >= this.growing && number < segment) file.grow();
    const last = this.segments.at(-1)?.number ?? 0;
    for (let number = Math.max(last + 1, this.growing); number < segment; number += 1) this.open(number);
    if (size > 0) this.fileOf(segment, size)?.grow(size);
    this.growing = segment;
    this.declareTotals(totals);
  }

  /** The next chunk or gap to send; undefined when all was sent. */
  next(): SpoolItem | undefined {
    for (;;) {
      const segment = this.segments[this.cursor.segment];
      if (segment === undefined) return this.missingTail();
      const found = segment.file.read(this.cursor.position);
      if (found === undefined) {
        if (this.cursor.position < segment.file.size) segment.file.seen = segment.file.size;
        if (this.cursor.segment + 1 >= this.segments.length) return this.missingTail();
        this.cursor = { segment: this.cursor.segment + 1, position: 0 };
        continue;
      }
      const item = this.take(found.frame);
      if (item?.type !== 'gap') this.cursor.position = found.end;
      if (item !== undefined) return item;
    }
  }

  /** Whether {@link next} would answer something. */
  get hasUnsent(): boolean {
    return !this.closed && STREAMS.some((stream) => this.sent[stream] < this.total[stream]);
  }

  /** Bytes sent and not acknowledged. */
  get inFlight(): number {
    return STREAMS.reduce((sum, stream) => sum + this.sent[stream] - this.acked[stream], 0);
  }

  /** Whether the hub has everything. */
  get drained(): boolean {
    return STREAMS.every((stream) => this.acked[stream] >= this.total[stream]);
  }

  /** The hub has a stream up to here. Answers true when that freed space on disk. */
  ack(stream: OutputStream, nextOffset: number): boolean {
    const acked = Math.min(nextOffset, this.total[stream]);
    if (acked <= this.acked[stream]) return false;
    this.acked[stream] = acked;
    this.sent[stream] = Math.max(this.sent[stream], acked);
    return this.free();
  }

  /** Sends a stream again from here. */
  rewind(stream: OutputStream, nextOffset: number): void {
    this.acked[stream] = Math.min(nextOffset, this.total[stream]);
    this.sent[stream] = this.acked[stream];
    this.rewindCursor();
  }

  /** Goes on where another reader of the same files was. */
  resume({ acked }: Spool): void {
    for (const stream of STREAMS) this.rewind(stream, acked[stream]);
  }

  /** Sends again all that is not acknowledged, after the connection was lost. */
  rewindAll(): void {
    for (const stream of STREAMS) this.rewind(stream, this.acked[stream]);
  }

  /** Deletes everything. */
  remove(): void {
    if (this.closed) return;
    this.close();
    rmSync(this.dir, { recursive: true, force: true });
  }

  /** Closes the files and leaves them for the next process. */
  close(): void {
    if (this.closed) return;
    this.closed = true;
    for (const { file } of this.segments) file.close();
    this.segments = [];
  }

  private fileOf(number: number, size: number): SpoolSegment | undefined {
    const last = this.segments.at(-1);
    if (last?.number === number) return last.file;
    const file = this.open(number);
    // The frame behind may be half written.
    if (file !== undefined) file.size = size;
    return file;
  }

  /** A file that is gone was acknowledged and deleted before. */
  private open(number: number): SpoolSegment | undefined {
    try {
      const file = new SpoolSegment(join(this.dir, String(number)), 'r');
      this.segments.push({ number, file });
      return file;
    } catch (err) {
      if (isErrno(err, 'ENOENT')) return undefined;
      throw err;
    }
  }

  private take(frame: SpoolFrame): SpoolItem | undefined {
    const { stream, offset, timeMs, data } = frame;
    const sent = this.sent[stream];
    if (offset + data.length <= sent) return undefined;
    if (offset > sent) return this.gap(stream, offset);
    this.sent[stream] = offset + data.length;
    const chunk = { ...this.id, stream, offset: sent, timeMs, data: data.subarray(sent - offset) };
    return { type: 'chunk', chunk };
  }

  private missingTail(): SpoolItem | undefined {
    if (this.closed) return undefined;
    const stream = STREAMS.find((name) => this.sent[name] < this.total[name]);
    return stream === undefined ? undefined : this.gap(stream, this.total[stream]);
  }

  private gap(stream: OutputStream, end: number): SpoolItem {
    const offset = this.sent[stream];
    this.sent[stream] = end;
    return { type: 'gap', gap: { ...this.id, stream, offset, bytes: end - offset } };
  }

  private rewindCursor(): void {
    this.cursor = { segment: 0, position: 0 };
  }

  private free(): boolean {
    const before = this.segments.length;
    for (let first = this.segments[0]; first !== undefined; first = this.segments[0]) {
      const { number, file } = first;
      const acked = STREAMS.every((stream) => (file.ends[stream] ?? 0) <= this.acked[stream]);
      if (number >= this.growing || file.seen < file.size || !acked) break;
      file.remove();
      this.segments.shift();
      this.cursor =
        this.cursor.segment === 0
          ? { segment: 0, position: 0 }
          : { ...this.cursor, segment: this.cursor.segment - 1 };
    }
    if (this.segments.length === before) return false;
    this.onFreed(this.segments[0]?.number ?? this.growing);
    return true;
  }
}

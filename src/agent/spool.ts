import { existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { OutputChunk, OutputGap, OutputStream } from '../model/output.js';
import type { AttemptId } from './attempt-id.js';
import { MAX_FRAME_BYTES, type SpoolFrame, SpoolSegment } from './spool-segment.js';
import { TextTail } from './text-tail.js';

const STREAMS = ['STDOUT', 'STDERR'] as const;

/** Limits of a {@link Spool}. */
export interface SpoolLimits {
  /** Bytes on disk above which the task is blocked. Default 256 MiB. */
  readonly maxBytes?: number;
  /** Size at which a new file is begun; a file is deleted as a whole. Default 8 MiB. */
  readonly segmentBytes?: number;
}

/** The next thing to send of one attempt. */
export type SpoolItem =
  | { readonly type: 'chunk'; readonly chunk: Omit<OutputChunk, 'agent'> }
  | { readonly type: 'gap'; readonly gap: Omit<OutputGap, 'agent'> };

/**
 * Output of one attempt on disk, from when it is read until the hub has it.
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
  private nextNumber = 1;
  private closed = false;

  /** `dir` is made with the first byte. */
  constructor(
    readonly id: AttemptId,
    private readonly dir: string,
    private readonly limits: SpoolLimits = {},
  ) {}

  /** Takes up what an earlier process left; that is nothing when its task wrote nothing. */
  recover(): void {
    const names = existsSync(this.dir) ? readdirSync(this.dir) : [];
    const numbers = names.map(Number).filter(Number.isInteger);
    for (const number of numbers.sort((a, b) => a - b)) {
      const file = new SpoolSegment(join(this.dir, String(number)));
      this.segments.push({ number, file });
      this.nextNumber = number + 1;
      file.recover((frame) => {
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

  /** True when there is no room: the task must be blocked until acknowledgements free some. */
  get full(): boolean {
    const { maxBytes = 256 * 1024 * 1024 } = this.limits;
    return this.sizeBytes >= maxBytes;
  }

  /** Bytes on disk. */
  get sizeBytes(): number {
    return this.segments.reduce((sum, { file }) => sum + file.size, 0);
  }

  /**
   * Stores what was read; of more than {@link MAX_FRAME_BYTES} it makes several frames.
   *
   * @throws when the disk is full. Data of at most one frame was not taken at all then.
   */
  append(stream: OutputStream, data: Buffer, timeMs: number): void {
    if (this.closed) return;
    for (let from = 0; from < data.length; from += MAX_FRAME_BYTES) {
      const part = data.subarray(from, from + MAX_FRAME_BYTES);
      this.openSegment().append({ stream, offset: this.total[stream], timeMs, data: part });
      this.total[stream] += part.length;
      this.tails[stream].push(part);
    }
  }

  /** The next chunk or gap to send; undefined when all was sent. */
  next(): SpoolItem | undefined {
    for (;;) {
      const segment = this.segments[this.cursor.segment];
      if (segment === undefined) return this.missingTail();
      const found = segment.file.read(this.cursor.position);
      if (found === undefined) {
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

  private openSegment(): SpoolSegment {
    const { segmentBytes = 8 * 1024 * 1024 } = this.limits;
    const last = this.segments.at(-1);
    if (last !== undefined && last.file.size < segmentBytes) return last.file;
    if (last === undefined) mkdirSync(this.dir, { recursive: true, mode: 0o700 });
    const file = new SpoolSegment(join(this.dir, String(this.nextNumber)));
    this.segments.push({ number: this.nextNumber, file });
    this.nextNumber += 1;
    return file;
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
    const { segmentBytes = 8 * 1024 * 1024 } = this.limits;
    let freed = false;
    for (let first = this.segments[0]; first !== undefined; first = this.segments[0]) {
      const { file } = first;
      const whole = STREAMS.every((stream) => (file.ends[stream] ?? 0) <= this.acked[stream]);
      const stillFills = this.segments.length === 1 && file.size < segmentBytes && !this.full;
      if (!whole || stillFills) return freed;
      file.remove();
      this.segments.shift();
      this.cursor =
        this.cursor.segment === 0
          ? { segment: 0, position: 0 }
          : { ...this.cursor, segment: this.cursor.segment - 1 };
      freed = true;
    }
    return freed;
  }
}

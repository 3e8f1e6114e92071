import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { OutputStream } from '../model/output.js';
import { MAX_FRAME_BYTES, SpoolSegment } from './spool-segment.js';
import { TextTail } from './text-tail.js';

/** Limits of a spool. */
export interface SpoolLimits {
  /** Bytes on disk above which the task is blocked. Default 256 MiB. */
  readonly maxBytes?: number;
  /** Size at which a new file is begun; a file is deleted as a whole. Default 8 MiB. */
  readonly segmentBytes?: number;
}

/** How far a spool is written. */
export interface SpoolEnd {
  /** Number of the file that is written next or now; those with lower numbers do not change any more. */
  readonly segment: number;
  /** Bytes in that file. */
  readonly size: number;
  readonly totals: Readonly<Record<OutputStream, number>>;
}

/**
 * Writes the output of one attempt to disk, in files of frames. The reader is in another process: it deletes files
 * that it no longer needs and says so.
 */
export class SpoolWriter {
  private readonly total = { STDOUT: 0, STDERR: 0 };
  private readonly tails = { STDOUT: new TextTail(), STDERR: new TextTail() };
  /** Sizes of the files that are on disk and complete. */
  private readonly complete = new Map<number, number>();
  private current: SpoolSegment | undefined;
  private number = 1;
  private size = 0;

  /** `dir` is made where it is missing. */
  constructor(
    private readonly dir: string,
    private readonly limits: SpoolLimits = {},
  ) {}

  /** Bytes that were taken. */
  get totals(): Readonly<Record<OutputStream, number>> {
    return { ...this.total };
  }

  get end(): SpoolEnd {
    return { segment: this.number, size: this.size, totals: this.totals };
  }

  /** The last text of a stream. */
  tail(stream: OutputStream): string {
    return this.tails[stream].text();
  }

  /** True when there is no room: the task must be blocked until the reader has freed some. */
  get full(): boolean {
    const { maxBytes = 256 * 1024 * 1024 } = this.limits;
    let { size } = this;
    for (const bytes of this.complete.values()) size += bytes;
    return size >= maxBytes;
  }

  /**
   * Stores what was read; of more than {@link MAX_FRAME_BYTES} it makes several frames.
   *
   * @throws when the disk is full. Data of at most one frame was not taken at all then.
   */
  append(stream: OutputStream, data: Buffer, timeMs: number): void {
    for (let from = 0; from < data.length; from += MAX_FRAME_BYTES) {
      const part = data.subarray(from, from + MAX_FRAME_BYTES);
      this.current ??= this.open();
      this.current.append({ stream, offset: this.total[stream], timeMs, data: part });
      this.size = this.current.size;
      this.total[stream] += part.length;
      this.tails[stream].push(part);
      this.completeWhenLarge();
    }
  }

  /** The reader deleted the files below this number. */
  freed(before: number): void {
    for (const number of this.complete.keys()) if (number < before) this.complete.delete(number);
  }

  /** Nothing more comes. */
  close(): void {
    this.current?.close();
    this.current = undefined;
  }

  private open(): SpoolSegment {
    mkdirSync(this.dir, { recursive: true, mode: 0o700 });
    return new SpoolSegment(join(this.dir, String(this.number)));
  }

  /** A file that fills the spool is complete too, or it could never be freed. */
  private completeWhenLarge(): void {
    const { segmentBytes = 8 * 1024 * 1024 } = this.limits;
    if (this.size < segmentBytes && !this.full) return;
    this.close();
    this.complete.set(this.number, this.size);
    this.number += 1;
    this.size = 0;
  }
}

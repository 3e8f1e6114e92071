import type { FileHandle } from 'node:fs/promises';
import { isErrno } from '../../base/errno.js';
import { HubError } from '../../model/hub-error.js';
import type { OutputRecord } from '../../model/output.js';
import type { Extent } from './output-index.js';
import { type Decoded, decodeRecord, MAX_RECORD_BYTES } from './record-codec.js';
import type { Segments } from './segments.js';

/** Bytes that are read at once; any record fits. */
const WINDOW_BYTES = 2 * MAX_RECORD_BYTES;

/** Reads records of extents, through one window that neighbouring extents share. Close it after use. */
export class ExtentReader implements AsyncDisposable {
  private file: FileHandle | undefined;
  private fileStart = -1;
  private readonly buffer = Buffer.allocUnsafe(WINDOW_BYTES);
  private window = this.buffer.subarray(0, 0);
  private windowStart = 0;

  constructor(private readonly segments: Segments) {}

  /**
   * Records of an extent that end behind a position, oldest first. `until` says how far it is worth reading ahead.
   *
   * @throws HubError STORE_CORRUPT with the position, and in `next` where the damage surely ends.
   */
  async *records(extent: Extent, after: number, until: number): AsyncIterable<OutputRecord> {
    let position = await this.begin(extent, after, until);
    while (position < extent.end) {
      const decoded = await this.decode(position, Math.max(until, extent.end));
      if (decoded.kind !== 'record') throw corrupt(position, extent);
      position += decoded.length;
      if (position > after) yield decoded.record;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.file?.close();
    this.file = undefined;
  }

  /** A cursor that is not the end of a record makes the whole extent be read. */
  private async begin(extent: Extent, after: number, until: number): Promise<number> {
    if (after <= extent.start) return extent.start;
    const decoded = await this.decode(after, Math.max(until, extent.end));
    return decoded.kind === 'record' ? after : extent.start;
  }

  private async decode(position: number, until: number): Promise<Decoded> {
    const at = position - this.windowStart;
    if (at >= 0 && at < this.window.length) {
      const decoded = decodeRecord(this.window, at, position);
      if (decoded.kind !== 'incomplete') return decoded;
    }
    await this.load(position, until);
    return decodeRecord(this.window, 0, position);
  }

  private async load(position: number, until: number): Promise<void> {
    const start = this.segments.startOf(position);
    if (start === undefined) throw missing(position);
    const file = await this.open(start, position);
    const length = Math.min(WINDOW_BYTES, until - position);
    let read = 0;
    while (read < length) {
      const { bytesRead } = await file.read(this.buffer, read, length - read, position - start + read);
      if (bytesRead === 0) break;
      read += bytesRead;
    }
    this.window = this.buffer.subarray(0, read);
    this.windowStart = position;
  }

  private async open(start: number, position: number): Promise<FileHandle> {
    if (this.file && this.fileStart === start) return this.file;
    await this[Symbol.asyncDispose]();
    try {
      this.file = await this.segments.read(start);
    } catch (err) {
      throw isErrno(err, 'ENOENT') ? missing(position) : err;
    }
    this.fileStart = start;
    return this.file;
  }
}

function missing(position: number): HubError {
  const message = `the output at position ${position} is missing on the disk of the hub`;
  return new HubError('STORE_CORRUPT', message, { metadata: { position: String(position) } });
}

function corrupt(position: number, extent: Extent): HubError {
  const message = `the output at position ${position} is damaged on the disk of the hub; go on from ${extent.end}`;
  const metadata = { position: String(position), next: String(extent.end) };
  return new HubError('STORE_CORRUPT', message, { metadata });
}

import { chmod, type FileHandle, mkdir, open, readdir, stat, truncate, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { isErrno } from '../../base/errno.js';
import type { Logger } from '../../base/logger.js';

/** First bytes of every segment, so that no record begins at position 0. */
const MAGIC = Buffer.from('VMAGENTOUTPUT 1\n');

const NAME = /^(\d{16})\.log$/;

/** Writes and syncs; replaced where a test needs a full disk. */
export interface SegmentIo {
  /** Writes all bytes at a place of a file. */
  write(file: FileHandle, bytes: Buffer, at: number): Promise<void>;
  sync(file: FileHandle): Promise<void>;
}

/** The real thing. */
export const fileIo: SegmentIo = {
  async write(file, bytes, at) {
    for (let done = 0; done < bytes.length; ) {
      done += (await file.write(bytes, done, bytes.length - done, at + done)).bytesWritten;
    }
  },
  sync: (file) => file.datasync(),
};

interface OpenSegment {
  readonly start: number;
  readonly file: FileHandle;
}

/** The files of the log. Each is named by the position of its first byte. Used by one writer at a time. */
export class Segments {
  private starts: number[] = [];
  private current: OpenSegment | undefined;
  private sealed = false;

  constructor(
    private readonly dir: string,
    private readonly segmentBytes: number,
    private readonly io: SegmentIo,
    private readonly log: Logger,
  ) {}

  /** Finds the files, and cuts off what a crash left outside the durable part. */
  async open(oldest: number, end: number): Promise<void> {
    await mkdir(this.dir, { recursive: true, mode: 0o700 });
    await chmod(this.dir, 0o700);
    const names = await readdir(this.dir);
    const found = names.flatMap((name) => Number(NAME.exec(name)?.[1] ?? Number.NaN)).filter(Number.isFinite);
    for (const start of found.filter((at) => at >= end || at < oldest)) await this.delete(start);
    this.starts = found.filter((at) => at < end && at >= oldest).sort((a, b) => a - b);
    await this.cutTail(end);
  }

  /** Writes bytes behind the end of the log and makes them durable. */
  async append(bytes: Buffer, position: number): Promise<void> {
    const { start, file } = await this.writable(position);
    try {
      await this.io.write(file, bytes, position - start);
      await this.io.sync(file);
    } catch (err) {
      await this.release();
      throw err;
    }
  }

  /** Position at which the next record begins when the log ends at `end`: a new segment begins with its header. */
  next(end: number): number {
    const begins = this.isFull(end) || this.starts.at(-1) === end;
    return begins ? end + MAGIC.length : end;
  }

  /** Start of the segment in which a position lies. */
  startOf(position: number): number | undefined {
    return this.starts.findLast((start) => start <= position);
  }

  /** Opens the segment that begins there for reading. The caller closes it. */
  read(start: number): Promise<FileHandle> {
    return open(this.path(start), 'r');
  }

  /** The segments with the time of their last change, oldest first. */
  async list(): Promise<readonly { readonly start: number; readonly timeMs: number }[]> {
    return Promise.all(this.starts.map(async (start) => ({ start, timeMs: await this.changed(start) })));
  }

  /** Makes the next append begin a new segment. */
  async finish(): Promise<void> {
    await this.release();
    this.sealed = true;
  }

  /** Deletes the segments that begin before a position. */
  async deleteBefore(position: number): Promise<void> {
    const old = this.starts.filter((start) => start < position);
    this.starts = this.starts.filter((start) => start >= position);
    for (const start of old) await this.delete(start);
  }

  /** Closes what is open. */
  async release(): Promise<void> {
    const file = this.current?.file;
    this.current = undefined;
    await file?.close().catch((err: unknown) => this.log.warn('segment not closed', { error: err }));
  }

  private isFull(end: number): boolean {
    const last = this.starts.at(-1);
    return last === undefined || this.sealed || end - last >= this.segmentBytes;
  }

  /** The file in which a record at a position stands; the one before it is closed when it is a new one. */
  private async writable(position: number): Promise<OpenSegment> {
    const start = position - MAGIC.length;
    if (this.isFull(start)) await this.create(start);
    const last = this.starts.at(-1) ?? start;
    this.current ??= { start: last, file: await open(this.path(last), 'r+') };
    return this.current;
  }

  private async create(start: number): Promise<void> {
    await this.release();
    const file = await open(this.path(start), 'w', 0o600);
    try {
      await this.io.write(file, MAGIC, 0);
      await this.syncDirectory();
    } catch (err) {
      await file.close();
      throw err;
    }
    this.current = { start, file };
    if (this.starts.at(-1) !== start) this.starts.push(start);
    this.sealed = false;
  }

  private async syncDirectory(): Promise<void> {
    const dir = await open(this.dir, 'r');
    try {
      await dir.sync();
    } finally {
      await dir.close();
    }
  }

  private async cutTail(end: number): Promise<void> {
    const last = this.starts.at(-1);
    if (last === undefined) return;
    const { size } = await stat(this.path(last));
    if (size > end - last) {
      this.log.warn('output that was not yet stored is cut off', { bytes: size - (end - last) });
      await truncate(this.path(last), end - last);
    }
    if (size >= end - last) return;
    this.log.error('stored output is missing', { position: last + size, bytes: end - last - size });
    this.sealed = true;
  }

  private async changed(start: number): Promise<number> {
    try {
      return (await stat(this.path(start))).mtimeMs;
    } catch (err) {
      if (isErrno(err, 'ENOENT')) return 0;
      throw err;
    }
  }

  private async delete(start: number): Promise<void> {
    await unlink(this.path(start)).catch((err: unknown) => {
      if (!isErrno(err, 'ENOENT')) throw err;
    });
  }

  private path(start: number): string {
    return join(this.dir, `${String(start).padStart(16, '0')}.log`);
  }
}

import { type FileHandle, open, readFile, rename } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Clock } from '../base/clock.js';
import { type Deferred, deferred } from '../base/deferred.js';
import { isErrno } from '../base/errno.js';
import type { Logger } from '../base/logger.js';
import { frameRecord, readRecords } from './record-frame.js';

/** Room that the file has behind its records: on a full disk results can still be written down. */
const RESERVE_BYTES = 2 * 1024 * 1024;
/** Most bytes of one write, but for a record that is longer by itself. */
const BATCH_BYTES = 128 * 1024;
/** How long to wait before a failed write is tried again. */
const RETRY_MS = 1000;

/** What {@link JournalFile} needs. */
export interface JournalFileOptions {
  readonly path: string;
  readonly clock: Clock;
  readonly log: Logger;
}

/**
 * An append-only file of JSON records that survives loss of power.
 *
 * All records appended in one turn of the event loop share one write and one fdatasync. A torn tail is cut off
 * when the file is opened. A write that fails (full disk) is tried again until it works or the file is closed:
 * nobody is told that a record is durable before it is. Zeros behind the records keep room for more.
 */
export class JournalFile {
  private pending: { readonly bytes: Buffer; readonly done: Deferred<void> }[] = [];
  private flushing: Promise<void> | undefined;
  private readonly stop = new AbortController();

  private constructor(
    private readonly options: JournalFileOptions,
    private handle: FileHandle,
    /** Bytes of records, and of the whole file. */
    private length: number,
    private size: number,
  ) {}

  /**
   * Opens or makes the file and answers the records in it. A file with damage in its middle is put aside, under a
   * name with `.damaged-` and the time; then the file is empty, and what could be read is answered all the same.
   */
  static async open(options: JournalFileOptions): Promise<JournalContent> {
    const { path, log, clock } = options;
    const { payloads, validBytes, damaged } = readRecords(await readIfThere(path));
    if (damaged) {
      const keptAs = `${path}.damaged-${clock.now()}`;
      log.error('the journal is damaged in its middle; it is put aside', { keptAs, position: validBytes });
      await rename(path, keptAs);
    }
    const length = damaged ? 0 : validBytes;
    const handle = await openForWriting(path);
    await handle.truncate(length);
    await syncDirectory(dirname(path));
    const file = new JournalFile(options, handle, length, length);
    await file.extend();
    const records = payloads.map((payload): unknown => JSON.parse(payload.toString('utf8')));
    return { file, records, damaged };
  }

  /** Resolves when the record is durable. Rejects only when the file is closed before. */
  append(record: object): Promise<void> {
    const done = deferred();
    if (this.stop.signal.aborted) return Promise.reject(this.stop.signal.reason);
    this.pending.push({ bytes: frameRecord(Buffer.from(JSON.stringify(record))), done });
    this.flushing ??= this.flush();
    return done.promise;
  }

  /** Replaces the whole file by these records, atomically. Call it only when no append is under way. */
  async rewrite(records: readonly object[]): Promise<void> {
    const { path } = this.options;
    const bytes = Buffer.concat(records.map((record) => frameRecord(Buffer.from(JSON.stringify(record)))));
    const next = await open(`${path}.next`, 'w', 0o600);
    try {
      await next.writeFile(bytes);
      await next.datasync();
    } finally {
      await next.close();
    }
    await rename(`${path}.next`, path);
    await syncDirectory(dirname(path));
    await this.handle.close();
    this.handle = await openForWriting(path);
    this.length = bytes.length;
    this.size = bytes.length;
    await this.extend();
  }

  /** Writes what waits, once, and closes. */
  async close(): Promise<void> {
    this.stop.abort(new Error('the journal is closed'));
    await this.flushing;
    await this.handle.close();
  }

  private async flush(): Promise<void> {
    await new Promise<void>((resolve) => setImmediate(resolve));
    while (this.pending.length > 0) {
      const batch = this.takeBatch();
      await this.write(Buffer.concat(batch.map((item) => item.bytes))).then(
        () => batch.forEach((item) => void item.done.resolve()),
        (err: unknown) => batch.forEach((item) => void item.done.reject(err)),
      );
      if (this.size - this.length < RESERVE_BYTES / 2) await this.extend();
    }
    this.flushing = undefined;
  }

  /** Not too much at once: of what fits into the last room nothing waits for what does not. */
  private takeBatch() {
    let bytes = 0;
    const end = this.pending.findIndex((item) => {
      bytes += item.bytes.length;
      return bytes > BATCH_BYTES;
    });
    return this.pending.splice(0, end < 0 ? this.pending.length : Math.max(1, end));
  }

  /** As much room as the disk gives; none is no failure. */
  private async extend(): Promise<void> {
    const wanted = this.length + RESERVE_BYTES;
    try {
      await writeAt(this.handle, Buffer.alloc(wanted - this.size), this.size);
      this.size = wanted;
    } catch (error) {
      this.options.log.warn('the journal has no reserve on this disk', { error });
    }
  }

  private async write(bytes: Buffer): Promise<void> {
    for (;;) {
      try {
        await writeAt(this.handle, bytes, this.length);
        await this.handle.datasync();
        this.length += bytes.length;
        this.size = Math.max(this.size, this.length);
        return;
      } catch (err) {
        this.options.log.error('the journal could not be written', { error: err });
        await this.options.clock.sleep(RETRY_MS, this.stop.signal);
      }
    }
  }
}

/** What a journal file holds. */
export interface JournalContent {
  readonly file: JournalFile;
  readonly records: readonly unknown[];
  /** Records are missing in the middle. */
  readonly damaged: boolean;
}

/** `a` makes the file; only `r+` writes at a place. */
async function openForWriting(path: string): Promise<FileHandle> {
  await (await open(path, 'a', 0o600)).close();
  return open(path, 'r+');
}

async function writeAt(handle: FileHandle, bytes: Buffer, at: number): Promise<void> {
  for (let done = 0; done < bytes.length; )
    done += (await handle.write(bytes, done, bytes.length - done, at + done)).bytesWritten;
}

async function readIfThere(path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (err) {
    if (isErrno(err, 'ENOENT')) return Buffer.alloc(0);
    throw err;
  }
}

async function syncDirectory(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

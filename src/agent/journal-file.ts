import { type FileHandle, open, readFile, rename } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Clock } from '../base/clock.js';
import { type Deferred, deferred } from '../base/deferred.js';
import { isErrno } from '../base/errno.js';
import type { Logger } from '../base/logger.js';
import { frameRecord, readRecords } from './record-frame.js';

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
 * nobody is told that a record is durable before it is.
 */
export class JournalFile {
  private pending: { readonly bytes: Buffer; readonly done: Deferred<void> }[] = [];
  private flushing: Promise<void> | undefined;
  private readonly stop = new AbortController();

  private constructor(
    private readonly options: JournalFileOptions,
    private handle: FileHandle,
    private length: number,
  ) {}

  /** Opens or makes the file and answers the records in it. */
  static async open(options: JournalFileOptions): Promise<{ file: JournalFile; records: unknown[] }> {
    const { payloads, validBytes } = readRecords(await readIfThere(options.path));
    const handle = await open(options.path, 'a+', 0o600);
    await handle.truncate(validBytes);
    await syncDirectory(dirname(options.path));
    const records = payloads.map((payload): unknown => JSON.parse(payload.toString('utf8')));
    return { file: new JournalFile(options, handle, validBytes), records };
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
    this.handle = await open(path, 'a+', 0o600);
    this.length = bytes.length;
  }

  /** Size in bytes. */
  get sizeBytes(): number {
    return this.length;
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
      const batch = this.pending;
      this.pending = [];
      await this.write(Buffer.concat(batch.map((item) => item.bytes))).then(
        () => batch.forEach((item) => void item.done.resolve()),
        (err: unknown) => batch.forEach((item) => void item.done.reject(err)),
      );
    }
    this.flushing = undefined;
  }

  private async write(bytes: Buffer): Promise<void> {
    for (;;) {
      try {
        await this.handle.appendFile(bytes);
        await this.handle.datasync();
        this.length += bytes.length;
        return;
      } catch (err) {
        this.options.log.error('the journal could not be written', { error: err });
        await this.handle.truncate(this.length).catch(() => {});
        await this.options.clock.sleep(RETRY_MS, this.stop.signal);
      }
    }
  }
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

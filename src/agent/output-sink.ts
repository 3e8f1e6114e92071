import type { Readable } from 'node:stream';
import type { Clock } from '../base/clock.js';
import { deferred } from '../base/deferred.js';
import type { Logger } from '../base/logger.js';
import type { Wakeups } from '../base/wakeups.js';
import type { OutputStream } from '../model/output.js';
import type { SpoolWriter } from './spool-writer.js';

/** How long to wait for room before looking again. */
const RETRY_MS = 1000;

/** What {@link OutputSink} needs. */
export interface OutputSinkOptions {
  readonly spool: SpoolWriter;
  /** Something was stored. */
  readonly onStored: () => void;
  /** The spool has room again. */
  readonly room: Wakeups;
  readonly clock: Clock;
  readonly log: Logger;
}

/**
 * Takes what the processes of an attempt write into its spool. When there is no room it stops reading, so that
 * the process blocks in its next write; nothing is lost.
 */
export class OutputSink {
  private blocked = 0;

  constructor(private readonly options: OutputSinkOptions) {}

  /** Reads a stream to its end. Resolves at the end, or `limitMs` after `ended` while it is not blocked. */
  async take(
    stream: OutputStream,
    source: Readable,
    ended: Promise<unknown>,
    limitMs: number,
  ): Promise<void> {
    const done = deferred();
    source.on('data', (data: Buffer) => this.accept(stream, source, data));
    source.once('close', () => done.resolve());
    source.once('error', () => source.destroy());
    void ended.then(() => this.endWithin(source, limitMs));
    await done.promise;
  }

  /** The last text that a stream had so far. */
  tail(stream: OutputStream): string {
    return this.options.spool.tail(stream);
  }

  private accept(stream: OutputStream, source: Readable, data: Buffer): void {
    if (this.store(stream, data)) return;
    source.pause();
    this.blocked += 1;
    void this.room(source).then(() => {
      this.blocked -= 1;
      if (source.destroyed) return;
      source.resume();
      this.accept(stream, source, data);
    });
  }

  private store(stream: OutputStream, data: Buffer): boolean {
    const { spool, onStored, clock, log } = this.options;
    if (spool.full) return false;
    try {
      spool.append(stream, data, clock.now());
    } catch (err) {
      log.warn('output could not be stored', { error: err });
      return false;
    }
    onStored();
    return true;
  }

  /** Room was made, or some time went by. */
  private room(source: Readable): Promise<void> {
    const { promise, resolve } = deferred();
    const listener = this.options.room.listen(resolve);
    const timer = this.options.clock.after(RETRY_MS, resolve);
    source.once('close', resolve);
    return promise.finally(() => {
      source.off('close', resolve);
      listener[Symbol.dispose]();
      timer[Symbol.dispose]();
    });
  }

  private endWithin(source: Readable, limitMs: number): void {
    const timer = this.options.clock.after(limitMs, () => {
      if (this.blocked > 0) this.endWithin(source, limitMs);
      else source.destroy();
    });
    source.once('close', () => timer[Symbol.dispose]());
  }
}

import { Wakeups } from '../base/wakeups.js';
import type { OutputFrame } from '../model/agent-protocol.js';
import type { OutputProgress } from '../model/output.js';
import { type AttemptId, attemptKey } from './attempt-id.js';
import type { Spool } from './spool.js';
import type { SpoolEnd } from './spool-writer.js';

/**
 * What is to be sent of all spools, one chunk of each in turn, never more unacknowledged than the window.
 *
 * The link takes frames with {@link next} and brings acknowledgements to {@link acked}.
 */
export class OutputQueue {
  private readonly spools = new Map<string, Spool>();
  private readonly retired = new Set<string>();
  private paused = false;
  /** Bytes that may be sent without an acknowledgement; given by the hub. */
  windowBytes = 1024 * 1024;
  /** Something can be sent that could not before. */
  readonly ready = new Wakeups();
  /** Acknowledgements came in. */
  readonly progress = new Wakeups();

  /** Sends this spool's bytes until it is removed. */
  add(spool: Spool): void {
    this.spools.set(attemptKey(spool.id), spool);
  }

  get(id: AttemptId): Spool | undefined {
    return this.spools.get(attemptKey(id));
  }

  /** Deletes a spool. */
  remove(id: AttemptId): void {
    this.get(id)?.remove();
    this.spools.delete(attemptKey(id));
    this.retired.delete(attemptKey(id));
    this.ready.notify();
    this.progress.notify();
  }

  /** Deletes a spool as soon as the hub has all of it. */
  retire(id: AttemptId): void {
    this.retired.add(attemptKey(id));
    this.removeDrained();
  }

  /** Whether the hub has everything. */
  get drained(): boolean {
    return [...this.spools.values()].every((spool) => spool.drained);
  }

  /** The next frame to send; undefined when there is none, or the window is used up. */
  next(): OutputFrame | undefined {
    if (this.paused || this.inFlight >= this.windowBytes) return undefined;
    for (const [key, spool] of this.spools) {
      if (!spool.hasUnsent) continue;
      this.spools.delete(key);
      this.spools.set(key, spool);
      const item = spool.next();
      if (item !== undefined) return item;
    }
    return undefined;
  }

  /** Whether {@link next} would answer a frame now. */
  get hasWork(): boolean {
    if (this.paused || this.inFlight >= this.windowBytes) return false;
    return [...this.spools.values()].some((spool) => spool.hasUnsent);
  }

  /** Bytes sent and not acknowledged. */
  get inFlight(): number {
    let sum = 0;
    for (const spool of this.spools.values()) sum += spool.inFlight;
    return sum;
  }

  /** The hub has streams up to here, or wants them again from here. */
  acked(acks: readonly OutputProgress[]): void {
    for (const { stream, nextOffset, rewind, ...id } of acks) {
      if (rewind) this.get(id)?.rewind(stream, nextOffset);
      else this.get(id)?.ack(stream, nextOffset);
    }
    this.removeDrained();
    this.progress.notify();
    this.ready.notify();
  }

  /** A new session: the hub has these streams up to here, and everything behind is sent again. */
  restart(outputs: readonly OutputProgress[]): void {
    const wanted = new Set(outputs.map(attemptKey));
    for (const key of this.retired) if (!wanted.has(key)) this.removeKey(key);
    for (const spool of this.spools.values()) spool.rewindAll();
    this.acked(outputs.map((output) => ({ ...output, rewind: true })));
  }

  /** Sends again all that was not acknowledged, after the stream was lost. */
  rewindAll(): void {
    for (const spool of this.spools.values()) spool.rewindAll();
    this.ready.notify();
  }

  /** There is new output. */
  extend(id: AttemptId, end: SpoolEnd): void {
    this.get(id)?.extend(end);
    this.ready.notify();
  }

  /** Stops or goes on answering frames. */
  setPaused(paused: boolean): void {
    this.paused = paused;
    this.ready.notify();
  }

  /** Closes all spools and leaves them on disk. */
  close(): void {
    for (const spool of this.spools.values()) spool.close();
    this.spools.clear();
  }

  private removeDrained(): void {
    for (const key of this.retired) if (this.spools.get(key)?.drained ?? true) this.removeKey(key);
  }

  private removeKey(key: string): void {
    this.spools.get(key)?.remove();
    this.spools.delete(key);
    this.retired.delete(key);
  }
}

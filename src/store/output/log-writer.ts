import { type Deferred, deferred } from '../../base/deferred.js';
import { isErrno } from '../../base/errno.js';
import { KeyedMutex } from '../../base/keyed-mutex.js';
import { HubError } from '../../model/hub-error.js';
import { agentScope, type Extent, MAX_EXTENT_BYTES, type OutputIndex, taskScope } from './output-index.js';
import { encodeRecord, type NewRecord, recordBytes } from './record-codec.js';
import type { Segments } from './segments.js';
import type { LiveStream, StreamStates } from './stream-states.js';

/** Most bytes of one write. */
const BATCH_BYTES = 4 * 1024 * 1024;

/** After a batch of this size a flood is assumed: the next one waits for more, since each costs two syncs. */
const FLOOD_BYTES = 64 * 1024;

/** What a batch waits for in a flood, and how long at most. */
const GATHER_BYTES = 1024 * 1024;
const GATHER_MS = 10;

/** Bytes that may wait for the disk before `room` makes callers wait. */
const PENDING_BYTES = 8 * 1024 * 1024;

/** A record that waits, with what its stream will be once it is durable. */
interface Pending {
  readonly record: NewRecord;
  readonly bytes: number;
  readonly stream: LiveStream;
  readonly after: LiveStream['durable'];
  readonly done: Deferred<void>;
}

/** Parts of a {@link LogWriter}. */
export interface LogWriterParts {
  readonly segments: Segments;
  readonly index: OutputIndex;
  readonly streams: StreamStates;
  /** Position behind the last durable record. */
  readonly end: number;
  /** Called whenever records became durable. */
  readonly onDurable: () => void;
}

/**
 * Writes records in batches: what arrives during one write and sync is the next batch. A record is durable when
 * its bytes are synced and the index, with the new length of the log, is committed. When a batch fails, all that
 * wait fail with it and every stream is where it durably was; the next record tries again.
 */
export class LogWriter {
  private queue: Pending[] = [];
  private pendingBytes = 0;
  private drained: Deferred<void> | undefined;
  private gathering: Deferred<void> | undefined;
  private lastBytes = 0;
  private running: Promise<void> | undefined;
  private readonly mutex = new KeyedMutex();
  private buffer = Buffer.allocUnsafe(0);
  private durableEnd: number;

  constructor(private readonly parts: LogWriterParts) {
    this.durableEnd = parts.end;
  }

  /** Position behind the last durable record. */
  get end(): number {
    return this.durableEnd;
  }

  /** Resolves when there is room for more. */
  async room(): Promise<void> {
    while (this.pendingBytes >= PENDING_BYTES) {
      this.drained ??= deferred();
      await this.drained.promise;
    }
  }

  /** Takes a record in; `stream.last` tells what becomes of it. */
  add(record: NewRecord, stream: LiveStream, after: LiveStream['durable']): void {
    const done = deferred();
    done.promise.catch(() => {});
    const bytes = recordBytes(record);
    this.queue.push({ record, bytes, stream, after, done });
    this.pendingBytes += bytes;
    stream.accepted = after;
    stream.last = done.promise;
    if (this.pendingBytes >= GATHER_BYTES) this.gathering?.resolve();
    this.running ??= this.run();
  }

  /** Runs work between two batches. */
  exclusive<T>(work: () => Promise<T>): Promise<T> {
    return this.mutex.run('writer', work);
  }

  /** Resolves when nothing waits any more. */
  async idle(): Promise<void> {
    await this.running;
  }

  private async run(): Promise<void> {
    while (this.queue.length > 0) {
      if (this.lastBytes >= FLOOD_BYTES) await this.gather();
      const batch = this.takeBatch();
      this.lastBytes = batch.reduce((sum, { bytes }) => sum + bytes, 0);
      try {
        await this.exclusive(() => this.store(batch));
        this.settle(batch);
      } catch (err) {
        this.fail(batch, writeError(err));
      }
    }
    this.running = undefined;
  }

  /** Resolves when there is enough for a batch of good size, or after a short while. */
  private async gather(): Promise<void> {
    if (this.pendingBytes >= GATHER_BYTES) return;
    this.gathering = deferred();
    const timer = setTimeout(this.gathering.resolve, GATHER_MS);
    await this.gathering.promise;
    clearTimeout(timer);
    this.gathering = undefined;
  }

  private takeBatch(): readonly Pending[] {
    let bytes = 0;
    let n = 0;
    while (n < this.queue.length && (n === 0 || bytes + (this.queue[n]?.bytes ?? 0) <= BATCH_BYTES)) {
      bytes += this.queue[n++]?.bytes ?? 0;
    }
    return this.queue.splice(0, n);
  }

  private async store(batch: readonly Pending[]): Promise<void> {
    const { segments, index } = this.parts;
    const sorted = byAgent(batch);
    const position = segments.next(this.durableEnd);
    const bytes = this.encode(sorted);
    await segments.append(bytes, position);
    const streams = [
      ...new Map(sorted.map(({ stream, after }) => [stream, { ...stream.key, ...after }])).values(),
    ];
    const end = position + bytes.length;
    await index.commit({ end, streams, extents: extentsOf(sorted, position) });
    this.durableEnd = end;
  }

  /** The buffer is used again, so that a flood does not make garbage. */
  private encode(batch: readonly Pending[]): Buffer {
    const total = batch.reduce((sum, { bytes }) => sum + bytes, 0);
    if (this.buffer.length < total)
      this.buffer = Buffer.allocUnsafe(Math.min(total * 2, Math.max(total, BATCH_BYTES)));
    let at = 0;
    for (const { record } of batch) at += encodeRecord(record, this.buffer, at);
    return this.buffer.subarray(0, total);
  }

  private settle(batch: readonly Pending[]): void {
    for (const { stream, after, done } of batch) {
      stream.durable = after;
      done.resolve();
    }
    this.release(batch);
    this.parts.onDurable();
  }

  private fail(batch: readonly Pending[], error: unknown): void {
    const all = [...batch, ...this.queue];
    this.queue = [];
    this.parts.streams.rollback();
    for (const { done } of all) done.reject(error);
    this.release(all);
  }

  private release(records: readonly Pending[]): void {
    for (const { bytes } of records) this.pendingBytes -= bytes;
    if (this.pendingBytes >= PENDING_BYTES) return;
    this.drained?.resolve();
    this.drained = undefined;
  }
}

/** Records of one agent stand together, in the order in which they came, which keeps the index small. */
function byAgent(batch: readonly Pending[]): readonly Pending[] {
  const groups = new Map<string, Pending[]>();
  for (const pending of batch) {
    const group = groups.get(pending.record.agent);
    if (group) group.push(pending);
    else groups.set(pending.record.agent, [pending]);
  }
  return [...groups.values()].flat();
}

function extentsOf(batch: readonly Pending[], position: number): readonly (Extent & { scope: string })[] {
  const extents: { scope: string; start: number; end: number }[] = [];
  const last = new Map<string, { start: number; end: number }>();
  let start = position;
  for (const { record, bytes } of batch) {
    const end = start + bytes;
    for (const scope of [taskScope(record.task), agentScope(record.agent)]) {
      const open = last.get(scope);
      if (open?.end === start && end - open.start <= MAX_EXTENT_BYTES) {
        open.end = end;
        continue;
      }
      const extent = { scope, start, end };
      last.set(scope, extent);
      extents.push(extent);
    }
    start = end;
  }
  return extents;
}

/** What a caller is told when a write failed. */
export function writeError(err: unknown): unknown {
  if (isErrno(err, 'ENOSPC', 'EDQUOT', 'EFBIG'))
    return new HubError('DISK_FULL', 'the disk of the hub is full; the output was not stored', {
      cause: err,
    });
  if (isErrno(err, 'EIO', 'EROFS', 'EMFILE', 'ENFILE', 'EACCES', 'EPERM', 'ENOENT', 'ESTALE'))
    return new HubError('STORE_FAILED', `the output cannot be stored now: ${err.message}`, { cause: err });
  return HubError.from(err);
}

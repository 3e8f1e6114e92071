import { HubError } from '../../model/hub-error.js';
import type { Database } from './database.js';
import { failsTransaction, storeError } from './sqlite-errors.js';

/** Most calls of one transaction, so that the event loop never stands still for long. */
const MAX_BATCH = 1000;

/** Most calls that may wait. */
const MAX_PENDING = 100_000;

/** A batch of this many calls means load: then the event loop gets its share of the time between two commits. */
const BUSY_CALLS = 4;

/** That share, in times of the commit before, and its limit in milliseconds. */
const LOOP_SHARE = 3;
const MAX_GATHER_MS = 4;

/** When nothing has come for so long, nothing more is waited for. */
const QUIET_MS = 0.25;

/** Something in memory that follows the transaction. Marks only grow between `begin` and the end. */
export interface BatchMember {
  /** Where it stands now. */
  mark(): number;
  /** Undoes what came behind a mark; 0 undoes the whole transaction. */
  rollbackTo(mark: number): void;
  /** Writes what is left to write before the commit. */
  flush(): void;
  /** The commit is durable and its callers know. */
  committed(): void;
}

interface Job {
  readonly work: () => unknown;
  readonly reads: boolean;
  readonly resolve: (value: unknown) => void;
  readonly reject: (reason: unknown) => void;
}

type Outcome = { readonly value: unknown } | { readonly error: unknown };

/** Thrown when a call failed after it had written: the batch is run again with a savepoint for each call. */
class NeedsSavepoints extends Error {}

/**
 * Runs calls in one transaction per turn of the event loop.
 *
 * 1. A promise settles only after the commit that its call belongs to.
 * 2. A call that throws changes nothing and rejects only its own promise.
 * 3. A commit that fails rejects all calls that could write, and changes nothing; reads are answered still.
 *
 * Under load it waits a few turns for more calls: a commit costs about the same for one call as for a hundred.
 *
 * Work may run twice and must only touch the database and the members.
 */
export class GroupCommit {
  private pending: Job[] = [];
  private scheduled = false;
  private closed = false;
  private notBefore = 0;
  private lastCallMs = 0;

  constructor(
    private readonly db: Database,
    private readonly members: readonly BatchMember[],
  ) {}

  /** Runs work that may write. */
  write<T>(work: () => T): Promise<T> {
    return this.add(work, false);
  }

  /** Runs work that only reads. It sees what was committed, and what the calls before it wrote. */
  read<T>(work: () => T): Promise<T> {
    return this.add(work, true);
  }

  /** Commits all that is pending, now, and refuses what comes later. */
  close(): void {
    this.closed = true;
    while (this.pending.length > 0) this.commitBatch();
  }

  private add<T>(work: () => T, reads: boolean): Promise<T> {
    if (this.closed) return Promise.reject(new HubError('ILLEGAL_STATE', 'the store of the hub is closed'));
    if (this.pending.length >= MAX_PENDING) {
      const message = 'the hub has too many calls waiting for its disk; try again later';
      return Promise.reject(new HubError('OVERLOADED', message, { retryAfterMs: 1000 }));
    }
    return new Promise<T>((resolve, reject) => {
      this.pending.push({ work, reads, resolve: resolve as (value: unknown) => void, reject });
      this.lastCallMs = performance.now();
      this.schedule();
    });
  }

  private schedule(): void {
    if (this.scheduled) return;
    this.scheduled = true;
    setImmediate(() => {
      this.scheduled = false;
      if (this.pending.length === 0) return;
      if (!this.worthWaiting()) this.commitBatch();
      if (this.pending.length > 0) this.schedule();
    });
  }

  /** Whether more calls are likely to come soon. */
  private worthWaiting(): boolean {
    const now = performance.now();
    return this.pending.length < MAX_BATCH && now < this.notBefore && now - this.lastCallMs < QUIET_MS;
  }

  private commitBatch(): void {
    const batch = this.pending.splice(0, MAX_BATCH);
    const begin = performance.now();
    try {
      settle(batch, this.runBatch(batch));
    } catch (err) {
      this.failBatch(batch, storeError(err));
      return;
    }
    for (const member of this.members) member.committed();
    const end = performance.now();
    const gatherMs = Math.min(LOOP_SHARE * (end - begin), MAX_GATHER_MS);
    this.notBefore = batch.length >= BUSY_CALLS ? end + gatherMs : 0;
  }

  private runBatch(batch: readonly Job[]): readonly Outcome[] {
    try {
      return this.transaction(batch, (job) => this.runBare(job));
    } catch (err) {
      if (!(err instanceof NeedsSavepoints)) throw err;
      return this.transaction(batch, (job) => this.runInSavepoint(job));
    }
  }

  private transaction(batch: readonly Job[], run: (job: Job) => Outcome): readonly Outcome[] {
    this.db.exec('BEGIN IMMEDIATE');
    try {
      const outcomes = batch.map(run);
      for (const member of this.members) member.flush();
      this.db.exec('COMMIT');
      return outcomes;
    } catch (err) {
      for (const member of this.members) member.rollbackTo(0);
      this.rollback();
      throw err;
    }
  }

  /** SQLite has rolled back by itself after some errors; then this one fails, which means nothing. */
  private rollback(): void {
    try {
      this.db.exec('ROLLBACK');
    } catch {
      // Nothing is open any more.
    }
  }

  private runBare(job: Job): Outcome {
    const { writes } = this.db;
    const marks = this.members.map((member) => member.mark());
    try {
      return { value: job.work() };
    } catch (err) {
      if (failsTransaction(err)) throw err;
      if (this.db.writes !== writes) throw new NeedsSavepoints();
      this.undo(marks);
      return { error: storeError(err) };
    }
  }

  private runInSavepoint(job: Job): Outcome {
    const marks = this.members.map((member) => member.mark());
    this.db.exec('SAVEPOINT job');
    try {
      const value = job.work();
      this.db.exec('RELEASE job');
      return { value };
    } catch (err) {
      if (failsTransaction(err)) throw err;
      this.db.exec('ROLLBACK TO job');
      this.db.exec('RELEASE job');
      this.undo(marks);
      return { error: storeError(err) };
    }
  }

  private undo(marks: readonly number[]): void {
    this.members.forEach((member, i) => {
      member.rollbackTo(marks[i] ?? 0);
    });
  }

  private failBatch(batch: readonly Job[], error: unknown): void {
    for (const job of batch) {
      if (job.reads) this.readAlone(job);
      else job.reject(error);
    }
  }

  private readAlone(job: Job): void {
    try {
      job.resolve(job.work());
    } catch (err) {
      job.reject(storeError(err));
    }
  }
}

function settle(batch: readonly Job[], outcomes: readonly Outcome[]): void {
  outcomes.forEach((outcome, i) => {
    if ('error' in outcome) batch[i]?.reject(outcome.error);
    else batch[i]?.resolve(outcome.value);
  });
}

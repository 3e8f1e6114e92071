import type { TaskState } from '../../model/task.js';
import type { Database } from './database.js';
import type { BatchMember } from './group-commit.js';
import { damagedRecord } from './sealed-json.js';

/** Tasks of one owner that have not ended. */
export interface OwnerCounts {
  readonly queued: number;
  readonly dispatched: number;
  readonly running: number;
}

type Counter = keyof OwnerCounts | 'dead';

interface Change {
  readonly owner: string;
  readonly counter: Counter;
  readonly delta: number;
}

const COUNTER_OF: Readonly<Partial<Record<TaskState, Counter>>> = {
  QUEUED: 'queued',
  DISPATCHED: 'dispatched',
  RUNNING: 'running',
};

const NONE: OwnerCounts = { queued: 0, dispatched: 0, running: 0 };

/** How many tasks there are of each kind, in memory, in step with the transactions. */
export class TaskCounters implements BatchMember {
  private readonly owners = new Map<string, OwnerCounts>();
  private dead = 0;
  private changes: Change[] = [];

  /** Counts what is stored. @throws HubError STORE_CORRUPT when a state is none. */
  load(db: Database): void {
    const sql = 'SELECT owner, state, count(*) AS n FROM tasks WHERE phase < 2 GROUP BY owner, state';
    for (const { owner, state, n } of db.all<{ owner: string; state: TaskState; n: number }>(sql)) {
      if (!COUNTER_OF[state]) throw damagedRecord();
      this.add(owner, state, n);
    }
    this.change('', 'dead', db.get<{ n: number }>('SELECT count(*) AS n FROM tasks WHERE dead = 1')?.n ?? 0);
    this.committed();
  }

  /** Counts `n` more tasks of an owner in a state. Ended ones are not counted. */
  add(owner: string, state: TaskState, n: number): void {
    const counter = COUNTER_OF[state];
    if (counter) this.change(owner, counter, n);
  }

  /** Counts `n` more dead letters. */
  addDead(n: number): void {
    this.change('', 'dead', n);
  }

  /** Unfinished tasks of one owner. */
  of(owner: string): OwnerCounts {
    return this.owners.get(owner) ?? NONE;
  }

  /** Owners with unfinished tasks. */
  all(): IterableIterator<string> {
    return this.owners.keys();
  }

  /** Sums over all owners. */
  totals(): OwnerCounts & { readonly deadLetters: number } {
    let sum = NONE;
    for (const { queued, dispatched, running } of this.owners.values()) {
      sum = {
        queued: sum.queued + queued,
        dispatched: sum.dispatched + dispatched,
        running: sum.running + running,
      };
    }
    return { ...sum, deadLetters: this.dead };
  }

  mark(): number {
    return this.changes.length;
  }

  rollbackTo(mark: number): void {
    for (const change of this.changes.splice(mark).reverse()) {
      this.apply({ ...change, delta: -change.delta });
    }
  }

  flush(): void {}

  committed(): void {
    this.changes = [];
  }

  private change(owner: string, counter: Counter, delta: number): void {
    const change = { owner, counter, delta };
    this.changes.push(change);
    this.apply(change);
  }

  private apply({ owner, counter, delta }: Change): void {
    if (counter === 'dead') {
      this.dead += delta;
      return;
    }
    const before = this.of(owner);
    const after = { ...before, [counter]: before[counter] + delta };
    if (after.queued + after.dispatched + after.running === 0) this.owners.delete(owner);
    else this.owners.set(owner, after);
  }
}

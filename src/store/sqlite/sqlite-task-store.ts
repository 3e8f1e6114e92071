import type {
  AgentLoad,
  ApplyOptions,
  ApplyResult,
  ClaimQuery,
  QueueLimits,
  TaskCounts,
  TaskFilter,
  TaskStore,
} from '../../hub/store.js';
import type { Attempt, NewTask, Task } from '../../model/task.js';
import type { TaskEvent } from '../../model/task-events.js';
import type { GroupCommit } from './group-commit.js';
import { TaskClaim } from './task-claim.js';
import { TaskHistory } from './task-history.js';
import { TaskIntake } from './task-intake.js';
import { POOL } from './task-row.js';
import { TaskSettle } from './task-settle.js';
import type { TaskTable } from './task-table.js';

/** Tasks in SQLite: each call is one piece of work of the group commit. */
export class SqliteTaskStore implements TaskStore {
  private readonly intake: TaskIntake;
  private readonly claims: TaskClaim;
  private readonly settle: TaskSettle;
  private readonly history: TaskHistory;

  constructor(
    private readonly commits: GroupCommit,
    private readonly table: TaskTable,
  ) {
    this.intake = new TaskIntake(table);
    this.claims = new TaskClaim(table);
    this.settle = new TaskSettle(table);
    this.history = new TaskHistory(table);
  }

  create(task: NewTask, limits: QueueLimits): Promise<{ readonly task: Task; readonly created: boolean }> {
    return this.commits.write(() => this.intake.create(task, limits));
  }

  get(id: string): Promise<Task | undefined> {
    return this.commits.read(() => this.table.byId(id)?.task);
  }

  attempts(id: string): Promise<readonly Attempt[]> {
    return this.commits.read(() => {
      const stored = this.table.byId(id);
      return stored ? this.table.attempts(stored) : [];
    });
  }

  async list(
    filter: TaskFilter,
    page: { readonly size: number; readonly before?: number },
  ): Promise<readonly Task[]> {
    const found: Task[] = [];
    let before = page.before;
    do {
      const step = await this.commits.read(() => this.history.step(filter, page.size - found.length, before));
      found.push(...step.tasks);
      before = step.before;
    } while (before !== undefined);
    return found;
  }

  active(agent: string): Promise<readonly Task[]> {
    return this.commits.read(() => this.table.inHand(agent));
  }

  fencedBy(agent: string): Promise<readonly Task[]> {
    return this.commits.read(() => this.table.fencedBy(agent));
  }

  claim(query: ClaimQuery): Promise<readonly Task[]> {
    return this.commits.write(() => this.claims.claim(query));
  }

  apply(id: string, event: TaskEvent, options: ApplyOptions): Promise<ApplyResult> {
    return this.commits.write(() => this.settle.apply(id, event, options));
  }

  dropQueued(
    agent: string,
    event: Extract<TaskEvent, { type: 'drop' }>,
    limit: number,
  ): Promise<readonly Task[]> {
    return this.commits.write(() => this.settle.dropQueued(agent, event, limit));
  }

  expired(nowMs: number, limit: number): Promise<readonly string[]> {
    return this.commits.read(() => this.history.expired(nowMs, limit));
  }

  counts(): Promise<TaskCounts> {
    return this.commits.read(() => this.table.counters.totals());
  }

  load(agents?: readonly string[]): Promise<ReadonlyMap<string, AgentLoad>> {
    return this.commits.read(() => {
      const owners = agents ?? [...this.table.counters.all()].filter((owner) => owner !== POOL);
      return new Map(owners.flatMap((owner) => this.loadOf(owner)));
    });
  }

  purge(beforeMs: number, limit: number): Promise<readonly string[]> {
    return this.commits.write(() => this.history.purge(beforeMs, limit));
  }

  private loadOf(owner: string): [string, AgentLoad][] {
    const { queued, dispatched, running } = this.table.counters.of(owner);
    if (queued + dispatched + running === 0) return [];
    return [[owner, { queued, inHand: dispatched + running > 0 ? this.table.inHand(owner) : [] }]];
  }
}

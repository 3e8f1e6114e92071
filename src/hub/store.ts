import type { AgentCounters, AgentRecord } from '../model/agent.js';
import type { HubEvent, NewEvent } from '../model/event.js';
import type { Attempt, NewTask, Task, TaskState } from '../model/task.js';
import type { TaskEvent } from '../model/task-events.js';

/**
 * What the hub keeps. An implementation may batch calls into one transaction, but each call stands alone: it
 * is committed whole when its promise resolves, and it changed nothing when its promise rejects. Calls of one
 * caller take effect in the order made. Events of a change are written in the same commit as the change.
 *
 * Errors: HubError with the reason named at the method; DISK_FULL when nothing can be written; STORE_CORRUPT
 * and SCHEMA_TOO_NEW at open. The contract suite is test/contract/store-suite.ts.
 */
export interface Store extends AsyncDisposable {
  /** Creates or upgrades the schema. */
  open(): Promise<void>;
  /** Commits what is pending, then closes. Idempotent. */
  close(): Promise<void>;
  /** Resolves when a commit is possible now. */
  check(): Promise<void>;
  readonly tasks: TaskStore;
  readonly agents: AgentStore;
  readonly events: EventStore;
  /** Small durable values, such as the cursor of cleared dead letters. */
  readonly values: ValueStore;
}

export interface TaskStore {
  /**
   * Accepts a task, or answers the one that is there: same id or same idempotency key with the same digest.
   * Adds 1 to the agent's `tasksReceived` when it names an agent. A task whose dependency has already ended
   * otherwise than SUCCEEDED is stored as CANCELLED (DEPENDENCY_FAILED).
   *
   * @throws TASK_CONFLICT same id or key, other digest. AGENT_NOT_FOUND. TASK_NOT_FOUND unknown id in `after`.
   *   QUEUE_FULL more than `limits.queuedPerAgent` unfinished for this agent (or the pool). LANE_LIMIT more
   *   than `limits.lanesPerAgent` lanes with unfinished tasks.
   */
  create(task: NewTask, limits: QueueLimits): Promise<{ readonly task: Task; readonly created: boolean }>;
  get(id: string): Promise<Task | undefined>;
  /** Attempts of a task, oldest first. */
  attempts(id: string): Promise<readonly Attempt[]>;
  /** Newest first. `before` is the `sequence` of the last task of the page before. */
  list(
    filter: TaskFilter,
    page: { readonly size: number; readonly before?: number },
  ): Promise<readonly Task[]>;
  /** QUEUED tasks that wait until an attempt that was given up on this agent is known to be over. */
  fencedBy(agent: string): Promise<readonly Task[]>;
  /** All DISPATCHED and RUNNING tasks of an agent, in order of acceptance. */
  active(agent: string): Promise<readonly Task[]>;
  /**
   * Hands tasks to an agent: QUEUED -> DISPATCHED with a new attempt, in order of acceptance.
   *
   * Of each lane of the agent the first `window` unfinished tasks may be in hand; a task whose dependencies have
   * not all SUCCEEDED keeps everything behind it in its lane waiting, and so does (until it has ended) a task
   * with `onFailure: STOP` that is in hand. Then, while fewer than `slots` tasks of the agent are in hand and the
   * lane they name has room (`laneWidth` in hand), pooled tasks whose required capabilities are all in
   * `capabilities`, by priority and then age.
   * Answers nothing when `sessionGeneration` is not the agent's current one.
   */
  claim(query: ClaimQuery): Promise<readonly Task[]>;
  /**
   * Applies an event (model/task-events.ts) to a task and, in the same commit: writes its attempt; adds to the
   * agent's counters at a terminal state; when it failed with `onFailure: STOP`, drops what is QUEUED behind it
   * in its lane (LANE_STOPPED); when it ended otherwise than SUCCEEDED, drops every QUEUED task that depends on
   * it, and so on (DEPENDENCY_FAILED); records the journal position.
   *
   * @throws TASK_NOT_FOUND.
   */
  apply(id: string, event: TaskEvent, options: ApplyOptions): Promise<ApplyResult>;
  /**
   * Applies `drop` to tasks QUEUED for an agent, lane by lane, at most `limit`, so that a long queue does not stop the
   * hub. Answers them with those that fell with them; none when nothing is left.
   */
  dropQueued(
    agent: string,
    event: Extract<TaskEvent, { type: 'drop' }>,
    limit: number,
  ): Promise<readonly Task[]>;
  /** Ids of queued tasks whose ttl is over at `nowMs`, at most `limit`. */
  expired(nowMs: number, limit: number): Promise<readonly string[]>;
  counts(): Promise<TaskCounts>;
  /** Unfinished tasks per agent: queued, and in hand. Agents with neither are absent. */
  load(agents?: readonly string[]): Promise<ReadonlyMap<string, AgentLoad>>;
  /** Deletes terminal tasks that ended before `beforeMs`, at most `limit`; answers their ids. */
  purge(beforeMs: number, limit: number): Promise<readonly string[]>;
}

export interface QueueLimits {
  readonly queuedPerAgent: number;
  readonly lanesPerAgent: number;
}

export interface TaskFilter {
  readonly agent?: string;
  readonly states?: readonly TaskState[];
  readonly type?: string;
  /** Only tasks that ended as LOST, or as FAILED without having started. */
  readonly deadLetters?: boolean;
  /** Only tasks that ended after this time. */
  readonly endedAfterMs?: number;
}

export interface ClaimQuery {
  readonly agent: string;
  readonly sessionGeneration: number;
  readonly capabilities: readonly string[];
  /** Tasks of one lane that may be in hand. */
  readonly window: number;
  /** Tasks of the default lane that run at once; of every other lane it is 1. */
  readonly laneWidth: number;
  /** Tasks that may be in hand in all. */
  readonly slots: number;
  readonly nowMs: number;
}

export interface ApplyOptions {
  readonly nowMs: number;
  /** Journal position of the agent whose report this is. Only grows within one journal. */
  readonly ack?: { readonly agent: string; readonly journalId: string; readonly sequence: number };
}

export interface ApplyResult {
  readonly task: Task;
  /** The task before the event; the same object when nothing changed. */
  readonly before: Task;
  /** Other tasks that ended because of it. */
  readonly dropped: readonly Task[];
  /** Agents (empty string: the pool) with queued tasks that waited for it, as a dependency. */
  readonly released: readonly string[];
}

export interface TaskCounts {
  readonly queued: number;
  readonly dispatched: number;
  readonly running: number;
  readonly deadLetters: number;
}

export interface AgentLoad {
  readonly queued: number;
  readonly inHand: readonly Task[];
}

export interface AgentStore {
  /** @throws AGENT_EXISTS. */
  create(agent: AgentRecord): Promise<void>;
  get(id: string): Promise<AgentRecord | undefined>;
  /** All, by name. */
  list(): Promise<readonly AgentRecord[]>;
  /** @throws AGENT_NOT_FOUND. */
  update(id: string, change: AgentChange): Promise<AgentRecord>;
  /**
   * Opens a session: adds 1 to the session generation, which is never used again, and records what Hello said.
   * A new journal id sets `ackedSequence` to 0; a journal that is behind it sets it to the journal's sequence.
   *
   * @throws AGENT_NOT_FOUND.
   */
  openSession(id: string, hello: SessionFacts): Promise<AgentRecord>;
  /** Deletes the agent. Its tasks stay. */
  remove(id: string): Promise<void>;
}

export type AgentChange = Partial<
  Pick<
    AgentRecord,
    | 'type'
    | 'capabilities'
    | 'metadata'
    | 'concurrency'
    | 'hasVm'
    | 'phase'
    | 'reason'
    | 'secretHash'
    | 'lastSeenMs'
    | 'vmGeneration'
    | 'registeredMs'
  >
> & { readonly counters?: AgentCounters };

export interface SessionFacts {
  readonly journalId: string;
  readonly journalSequence: number;
  readonly vmGeneration: number;
  readonly version: string;
  readonly capabilities: readonly string[];
  readonly atMs: number;
}

export interface EventStore {
  append(event: NewEvent): Promise<HubEvent>;
  /** Events behind a position, oldest first. @throws CURSOR_EXPIRED when some behind it are gone. */
  read(after: number, limit: number): Promise<readonly HubEvent[]>;
  /** Position of the last event; 0 before the first. */
  last(): Promise<number>;
  /** How many are kept. */
  count(): Promise<number>;
  /** Keeps the newest `keep` events. */
  trim(keep: number): Promise<void>;
  /** Calls `fn` after each commit that wrote events. */
  listen(fn: () => void): Disposable;
}

export interface ValueStore {
  get(key: string): Promise<string | undefined>;
  set(key: string, value: string): Promise<void>;
}

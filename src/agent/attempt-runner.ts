import type { Clock } from '../base/clock.js';
import { runDetached } from '../base/detached.js';
import type { Logger } from '../base/logger.js';
import { Wakeups } from '../base/wakeups.js';
import type { Assignment, AttemptReport } from '../model/agent-protocol.js';
import { ID_PATTERN } from '../model/names.js';
import type { TaskOutcome } from '../model/task.js';
import { type AttemptId, attemptKey } from './attempt-id.js';
import { type AttemptStore, withOutput } from './attempt-store.js';
import { execute } from './executors/execute.js';
import type { Ending, ExecutorContext } from './executors/executor.js';
import type { Journal } from './journal.js';
import type { KillScope } from './kill-scope.js';
import { type LaneItem, Lanes } from './lanes.js';
import type { Outbox } from './outbox.js';
import type { OutputQueue } from './output-queue.js';
import { OutputSink } from './output-sink.js';
import type { PipePool } from './pipe-pool.js';
import type { Spool } from './spool.js';
import { StopSwitch } from './stop.js';
import type { TreeSet } from './tree-set.js';

const MAX_MESSAGE_CHARACTERS = 1024;

/** What {@link AttemptRunner} needs. */
export interface AttemptRunnerOptions {
  readonly journal: Journal;
  readonly store: AttemptStore;
  readonly outbox: Outbox;
  readonly output: OutputQueue;
  readonly pipes: PipePool;
  readonly trees: TreeSet;
  readonly scope: KillScope;
  readonly clock: Clock;
  readonly log: Logger;
  /** What executors need besides. */
  readonly executor: Omit<ExecutorContext, 'process' | 'log'>;
}

/** An attempt that waits, runs, or whose end is being written down. */
interface Item extends LaneItem {
  readonly assignment: Assignment;
  readonly stop: StopSwitch;
  forgotten: boolean;
}

/**
 * Runs attempts: each at most once, in the order of its lane. RUNNING is in the journal before anything is
 * started, the end before it is reported.
 */
export class AttemptRunner {
  private readonly items = new Map<string, Item>();
  private readonly lanes: Lanes<Item>;
  /** An attempt ended. */
  readonly ended = new Wakeups();

  constructor(private readonly options: AttemptRunnerOptions) {
    this.lanes = new Lanes<Item>({
      start: (item) => runDetached(options.log, 'attempt', () => this.run(item)),
      giveBack: (item) => this.giveBack(item, 'LANE_STOPPED', 'a task before it in its lane failed'),
    });
  }

  /** How many attempts run. */
  get running(): number {
    return this.lanes.running;
  }

  /** Whether nothing waits or runs. */
  get idle(): boolean {
    return this.items.size === 0;
  }

  /** Attempts that were taken and of which the journal says nothing yet, in order. */
  unrecorded(): readonly AttemptId[] {
    return [...this.items.values()].map(idOf).filter((id) => this.options.journal.get(id) === undefined);
  }

  /** How many attempts of a lane run at once. */
  setWidth(lane: string, width: number): void {
    this.lanes.setWidth(lane, width);
  }

  /** Starts nothing new, or goes on. */
  setHeld(held: boolean): void {
    this.lanes.setHeld(held);
  }

  /** Takes an attempt. One that is known is answered with its recorded state and never run again. */
  assign(assignment: Assignment): void {
    if (!ID_PATTERN.test(assignment.task)) {
      this.options.log.error('an assignment has an id that is not one', {
        task: assignment.task.slice(0, 200),
      });
      return;
    }
    const known = this.recorded(assignment);
    if (known !== undefined) {
      this.options.outbox.report(known);
      return;
    }
    const { lane, stopLaneOnFailure } = assignment;
    const item: Item = { lane, stopLaneOnFailure, assignment, stop: new StopSwitch(), forgotten: false };
    this.items.set(attemptKey(assignment), item);
    this.lanes.add(item);
  }

  /** Ends an attempt that cannot be run at all. */
  refuse(id: AttemptId, message: string): void {
    if (this.recorded(id) !== undefined) return;
    runDetached(this.options.log, 'refuse', () =>
      this.write(id, { state: 'FAILED', reason: 'INVALID_ARGUMENT', message }),
    );
  }

  /** Ends an attempt on behalf of a caller. */
  cancel(id: AttemptId, force: boolean): void {
    const item = this.items.get(attemptKey(id));
    if (item === undefined) {
      const known = this.recorded(id);
      if (known !== undefined) this.options.outbox.report(known);
    } else if (this.lanes.remove(item)) this.giveBack(item, 'CANCELLED', 'cancelled before it started');
    else if (force) item.stop.force('CANCELLED');
    else item.stop.stop('CANCELLED');
  }

  /** Kills an attempt and forgets everything about it. */
  forget(id: AttemptId): void {
    const item = this.items.get(attemptKey(id));
    if (item !== undefined && !this.lanes.remove(item)) {
      item.forgotten = true;
      item.stop.force('FORGOTTEN');
      return;
    }
    this.items.delete(attemptKey(id));
    this.forgetRecords(id);
  }

  /** Ends everything that runs because the agent ends. What waits is left to the hub. */
  stopAll(): void {
    this.lanes.setHeld(true);
    for (const [key, item] of this.items) {
      if (this.lanes.remove(item)) this.items.delete(key);
      else item.stop.stop('AGENT_STOPPED');
    }
    this.ended.notify();
  }

  /** The end of these attempts is stored by the hub. */
  acked(sequence: number): void {
    for (const { task, attempt } of this.options.journal.acked(sequence))
      this.options.output.retire({ task, attempt });
    runDetached(this.options.log, 'journal', () => this.options.journal.compact());
  }

  private recorded(id: AttemptId): AttemptReport | undefined {
    const entry = this.options.journal.get(id);
    const known = entry?.ended ?? entry?.started;
    if (known !== undefined || !this.items.has(attemptKey(id))) return known;
    return { task: id.task, attempt: id.attempt, state: 'DISPATCHED', sequence: 0 };
  }

  private async run(item: Item): Promise<void> {
    const id = idOf(item);
    const { journal, outbox, clock, store } = this.options;
    const startMs = clock.now();
    outbox.report(await journal.record({ ...id, state: 'RUNNING', startMs }));
    const spool = store.newSpool(id);
    const ending = await this.execute(item, spool);
    this.end(item, ending, startMs, spool);
    this.lanes.ended(item, ending.state !== 'SUCCEEDED');
  }

  private async execute(item: Item, spool: Spool): Promise<Ending> {
    const { stop, assignment } = item;
    if (stop.kind !== undefined) return { state: 'CANCELLED', reason: stop.kind };
    using _limit = this.options.clock.after(assignment.spec.timeoutMs, () => stop.stop('TIMEOUT'));
    return await execute(this.contextOf(item, spool), assignment.spec);
  }

  private contextOf(item: Item, spool: Spool): ExecutorContext {
    const { pipes, trees, scope, clock, executor, output: queue, store } = this.options;
    const log = this.options.log.with({ ...idOf(item) });
    const sink = new OutputSink({ spool, queue, clock, log });
    const mark = store.mark(idOf(item));
    return { ...executor, log, process: { scope, mark, sink, pipes, clock, trees, stop: item.stop } };
  }

  private giveBack(item: Item, reason: string, message: string): void {
    this.end(item, { state: 'CANCELLED', reason, message });
  }

  /** Writes the end of an item down; the item stays until that is durable, so that it cannot be run again. */
  private end(item: Item, ending: Ending, startMs?: number, spool?: Spool): void {
    const id = idOf(item);
    runDetached(this.options.log, 'report', async () => {
      if (!item.forgotten) await this.write(id, ending, startMs, spool);
      this.items.delete(attemptKey(id));
      if (item.forgotten) this.forgetRecords(id);
      this.ended.notify();
    });
  }

  private async write(id: AttemptId, ending: Ending, startMs?: number, spool?: Spool): Promise<void> {
    const { journal, outbox, clock } = this.options;
    const start = startMs === undefined ? {} : { startMs };
    const outcome = withOutput(outcomeOf(ending), spool);
    const { task, attempt } = id;
    const fact = { task, attempt, state: ending.state, ...start, endMs: clock.now(), outcome };
    outbox.report(await journal.record(fact));
  }

  /** The output goes last: who waits until the hub was told everything looks again then. */
  private forgetRecords(id: AttemptId): void {
    runDetached(this.options.log, 'forget', () => this.options.journal.forget(id));
    this.options.output.remove(id);
  }
}

function idOf(item: Item): AttemptId {
  const { task, attempt } = item.assignment;
  return { task, attempt };
}

function outcomeOf(ending: Ending): TaskOutcome {
  const { exitCode, signal, reason, message, killed = false, result } = ending;
  return {
    ...(exitCode === undefined ? {} : { exitCode }),
    ...(signal === undefined ? {} : { signal }),
    reason,
    ...(message === undefined ? {} : { message: message.slice(0, MAX_MESSAGE_CHARACTERS) }),
    stdoutBytes: 0,
    stderrBytes: 0,
    stdoutTail: '',
    stderrTail: '',
    killed,
    lostBytes: 0,
    ...(result === undefined ? {} : { result }),
  };
}

import type { Clock } from '../base/clock.js';
import { runDetached } from '../base/detached.js';
import type { Logger } from '../base/logger.js';
import { Wakeups } from '../base/wakeups.js';
import type { Assignment, AttemptReport } from '../model/agent-protocol.js';
import { ID_PATTERN } from '../model/names.js';
import { type AttemptId, attemptKey } from './attempt-id.js';
import type { AttemptStore, TakenOver } from './attempt-store.js';
import type { Ending } from './executors/executor.js';
import type { Journal } from './journal.js';
import type { KeeperClient, KeptEnd } from './keeper/keeper-client.js';
import type { RunRequest } from './keeper/messages.js';
import { type LaneItem, Lanes } from './lanes.js';
import type { Outbox } from './outbox.js';
import type { OutputQueue } from './output-queue.js';
import type { StopKind } from './stop.js';

/** What {@link AttemptRunner} needs. */
export interface AttemptRunnerOptions {
  readonly journal: Journal;
  readonly store: AttemptStore;
  readonly outbox: Outbox;
  readonly output: OutputQueue;
  readonly keeper: KeeperClient;
  readonly clock: Clock;
  readonly log: Logger;
}

/** An attempt that waits, runs, or whose end is being written down. */
interface Item extends LaneItem {
  readonly id: AttemptId;
  /** What to run; undefined for one that an earlier agent started. */
  readonly request: RunRequest | undefined;
  /** Whether the keeper has it, or will as soon as there is one. */
  kept: boolean;
  /** Why it is to end, when that was said before the keeper had it. */
  stopped: StopKind | undefined;
  forgotten: boolean;
}

/**
 * Has attempts run by the keeper: each at most once, in the order of its lane. RUNNING is in the journal before
 * anything is started, the end before it is reported.
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
    return [...this.items.values()]
      .map(({ id }) => id)
      .filter((id) => this.options.journal.get(id) === undefined);
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
  assign({ task, attempt, lane, stopLaneOnFailure, spec }: Assignment): void {
    const id = { task, attempt };
    if (!ID_PATTERN.test(task)) {
      this.options.log.error('an assignment has an id that is not one', { task: task.slice(0, 200) });
      return;
    }
    const known = this.recorded(id);
    if (known !== undefined) {
      this.options.outbox.report(known);
      return;
    }
    this.lanes.add(this.newItem({ ...id, lane, stopLaneOnFailure, spec }, false));
  }

  /** Goes on with an attempt that an earlier agent started. */
  takeOver({ attempt: { task, attempt, lane, stopLaneOnFailure }, end, startMs }: TakenOver): void {
    const item = this.newItem({ task, attempt, lane, stopLaneOnFailure }, true);
    this.lanes.addRunning(item);
    runDetached(this.options.log, 'attempt', () => this.follow(item, startMs, end));
  }

  /** Ends an attempt that cannot be run at all. */
  refuse(id: AttemptId, message: string): void {
    if (this.recorded(id) !== undefined) return;
    const ending: Ending = { state: 'FAILED', reason: 'INVALID_ARGUMENT', message };
    const { store, log } = this.options;
    runDetached(log, 'refuse', async () => void (await store.finishPlain(id, undefined, ending)));
  }

  /** Ends an attempt on behalf of a caller. */
  cancel(id: AttemptId, force: boolean): void {
    const item = this.items.get(attemptKey(id));
    if (item === undefined) {
      const known = this.recorded(id);
      if (known !== undefined) this.options.outbox.report(known);
    } else if (this.lanes.remove(item)) this.giveBack(item, 'CANCELLED', 'cancelled before it started');
    else this.stop(item, 'CANCELLED', force);
  }

  /** Kills an attempt and forgets everything about it. */
  forget(id: AttemptId): void {
    const item = this.items.get(attemptKey(id));
    if (item !== undefined && !this.lanes.remove(item)) {
      item.forgotten = true;
      this.stop(item, 'FORGOTTEN', true);
      return;
    }
    this.items.delete(attemptKey(id));
    this.forgetRecords(id);
  }

  /** Tells the hub what the journal has. */
  tell(report: AttemptReport): void {
    if (!this.items.get(attemptKey(report))?.forgotten) this.options.outbox.report(report);
  }

  /** Kills and forgets everything. */
  forgetAll(): void {
    this.lanes.setHeld(true);
    for (const { id } of [...this.items.values()]) this.forget(id);
    this.ended.notify();
  }

  /** Ends everything that runs because the agent ends. What waits is left to the hub. */
  stopAll(): void {
    this.lanes.setHeld(true);
    for (const [key, item] of this.items) {
      if (this.lanes.remove(item)) this.items.delete(key);
      else this.stop(item, 'AGENT_STOPPED', false);
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

  private newItem(request: Omit<RunRequest, 'spec'> & Partial<RunRequest>, kept: boolean): Item {
    const { task, attempt, lane, stopLaneOnFailure, spec } = request;
    const id = { task, attempt };
    const whole = spec && { ...id, lane, stopLaneOnFailure, spec };
    const item: Item = {
      id,
      lane,
      stopLaneOnFailure,
      request: whole,
      kept,
      stopped: undefined,
      forgotten: false,
    };
    this.items.set(attemptKey(id), item);
    return item;
  }

  private stop(item: Item, kind: StopKind, force: boolean): void {
    item.stopped ??= kind;
    if (item.kept) this.options.keeper.stop(item.id, kind, force);
  }

  private async run(item: Item): Promise<void> {
    const { id, request } = item;
    const { journal, store, keeper, clock } = this.options;
    const startMs = clock.now();
    await journal.record({ ...id, state: 'RUNNING', startMs });
    if (item.stopped !== undefined || request === undefined) {
      const ending: Ending = { state: 'CANCELLED', reason: item.stopped ?? 'CANCELLED' };
      void this.end(item, () => store.finishPlain(id, startMs, ending));
      this.lanes.ended(item, true);
      return;
    }
    store.openSpool(id);
    item.kept = true;
    await this.follow(item, startMs, keeper.run(request));
  }

  /** The next of the lane need not wait until the end is durable, but for all processes to be gone. */
  private async follow(item: Item, startMs: number | undefined, end: Promise<KeptEnd>): Promise<void> {
    const kept = await end;
    const written = this.end(item, () => this.finish(item.id, startMs, kept));
    if (kept.type === 'lost') await written;
    this.lanes.ended(item, kept.type !== 'exited' || kept.record.ending.state !== 'SUCCEEDED');
  }

  private finish(id: AttemptId, startMs: number | undefined, kept: KeptEnd): Promise<AttemptReport> {
    const { store } = this.options;
    switch (kept.type) {
      case 'exited':
        return store.finish(id, startMs, kept.record);
      case 'failed':
        return store.finishPlain(id, startMs, {
          state: 'FAILED',
          reason: 'INTERNAL',
          message: kept.message,
        });
      case 'lost':
        return store.lost(id, startMs);
    }
  }

  private giveBack(item: Item, reason: string, message: string): void {
    const ending: Ending = { state: 'CANCELLED', reason, message };
    void this.end(item, () => this.options.store.finishPlain(item.id, undefined, ending));
  }

  /** Writes the end of an item down; the item stays until that is durable, so that it cannot be run again. */
  private end(item: Item, write: () => Promise<AttemptReport>): Promise<void> {
    const { log } = this.options;
    const work = async () => {
      await write();
      this.items.delete(attemptKey(item.id));
      if (item.forgotten) this.forgetRecords(item.id);
      this.ended.notify();
    };
    return work().catch((err: unknown) =>
      log.error('an end could not be written', { ...item.id, error: err }),
    );
  }

  /** The output goes last: who waits until the hub was told everything looks again then. */
  private forgetRecords(id: AttemptId): void {
    runDetached(this.options.log, 'forget', () => this.options.journal.forget(id));
    this.options.output.remove(id);
  }
}

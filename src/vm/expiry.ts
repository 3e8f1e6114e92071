import { Backoff } from '../base/backoff.js';
import type { Clock } from '../base/clock.js';
import { messageOf } from '../base/errno.js';
import type { Logger } from '../base/logger.js';
import { HubError } from '../model/hub-error.js';
import type { Vm, VmLife } from '../model/vm.js';
import { type Due, dueOf, shifted } from '../model/vm-life.js';
import type { MachineUse } from './machine-use.js';

/** How often machines are looked at. */
const SWEEP_MS = 1_000;
/** Looks that are further apart than this: the hub stood still between them. */
const STANDSTILL_MS = 10_000;
/** Differences of the wall clock that are not worth moving anything. */
const TOLERANCE_MS = 1_000;
/** How old the stored times may be: what a hub that was killed forgets. */
const STORE_MS = 15_000;
/** Machines that are ended at the same time. */
const MAX_ENDING = 8;
const RETRY = { initialMs: 30_000, maxMs: 15 * 60_000, minMs: 5_000 };

/** The machines that {@link Expiry} looks after. */
export interface ExpiringMachines {
  list(): readonly Vm[];
  /** Whether an operation on it is under way. */
  inOperation(name: string): boolean;
  changeLife(name: string, edit: (life: VmLife) => VmLife, durable: boolean): Promise<void>;
  /** Takes a snapshot, or stops it, unless `stillDue` says no when its turn has come; answers whether it did. */
  endIf(name: string, how: EndHow, stillDue: () => Promise<boolean>, signal: AbortSignal): Promise<boolean>;
}

export type EndHow = 'snapshot' | 'stop';

/** Options of {@link Expiry}. */
export interface ExpiryOptions {
  readonly machines: ExpiringMachines;
  readonly use: MachineUse;
  readonly clock: Clock;
  readonly log: Logger;
  /** Random number in [0, 1), for the waits between tries. Default `Math.random`. */
  readonly random?: () => number;
}

/** A machine that is being ended, or could not be. */
interface Ending {
  readonly backoff: Backoff;
  running: boolean;
  /** When it may be tried again, on the monotonic clock. */
  notBeforeMs: number;
  snapshotTaken: boolean;
}

/**
 * Ends machines whose ttl is over or that are idle for too long. It counts on stored times, moved by what this hub did
 * not see: time in which it was away or stood still, and jumps of the wall clock, never count against a machine.
 */
export class Expiry implements AsyncDisposable {
  private readonly endings = new Map<string, Ending>();
  private readonly underWay = new Set<Promise<void>>();
  private readonly stopping = new AbortController();
  private looked: { readonly wallMs: number; readonly monotonicMs: number } | undefined;
  private running: Promise<void> | undefined;

  constructor(private readonly options: ExpiryOptions) {}

  /** Begins to look. Call once the machines' records are true. */
  start(): void {
    this.running ??= this.repeat();
  }

  /** Ends what is under way and waits for it. */
  async close(): Promise<void> {
    this.stopping.abort(new HubError('HUB_STOPPING', 'the hub is stopping'));
    await this.running;
    await Promise.allSettled([...this.underWay]);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** One look at all machines; begins what is due and does not wait for it. */
  async sweep(): Promise<void> {
    const { machines, use, clock } = this.options;
    const shiftOf = this.unseen();
    const limited = machines.list().filter((vm) => vm.life !== undefined);
    for (const name of this.endings.keys())
      if (!limited.some((vm) => vm.name === name)) this.endings.delete(name);
    if (limited.length === 0) return;
    const busy = await use.busy(limited.map((vm) => vm.name));
    for (const { name } of limited) {
      const ending = this.endings.get(name)?.running ?? false;
      const active = !ending && (busy.has(name) || machines.inOperation(name));
      await this.count(name, shiftOf, active);
      const vm = machines.list().find((one) => one.name === name);
      const due = vm && !active ? dueOf(vm, clock.now()) : undefined;
      if (due !== undefined) this.begin(name, due);
      else if (!ending) this.endings.delete(name);
    }
  }

  /** Resolves when nothing is being ended. */
  async settled(): Promise<void> {
    while (this.underWay.size > 0) await Promise.allSettled([...this.underWay]);
  }

  /** By how much the times of a machine are to be moved; from the second look on the same for all. */
  private unseen(): (life: VmLife) => number {
    const { clock } = this.options;
    const [wallMs, monotonicMs] = [clock.now(), clock.monotonic()];
    const before = this.looked;
    this.looked = { wallMs, monotonicMs };
    if (before === undefined) return (life) => wallMs - life.seenMs;
    const passedMs = monotonicMs - before.monotonicMs;
    const countedMs = passedMs > STANDSTILL_MS ? 0 : passedMs;
    const shiftMs = wallMs - before.wallMs - countedMs;
    return () => shiftMs;
  }

  private async count(name: string, shiftOf: (life: VmLife) => number, active: boolean): Promise<void> {
    const { machines, clock } = this.options;
    const now = clock.now();
    const life = machines.list().find((vm) => vm.name === name)?.life;
    if (life === undefined) return;
    const byMs = shiftOf(life);
    const moves = Math.abs(byMs) > TOLERANCE_MS;
    const durable = moves || Math.abs(now - life.seenMs) >= STORE_MS;
    if (!durable && !active) return;
    const edit = (old: VmLife): VmLife => {
      const moved = moves ? shifted(old, byMs) : old;
      return { ...moved, ...(active ? { activeMs: now } : {}), ...(durable ? { seenMs: now } : {}) };
    };
    await machines.changeLife(name, edit, durable);
  }

  private begin(name: string, due: Due): void {
    const known = this.endings.get(name);
    const ending = known ?? {
      backoff: new Backoff({ ...RETRY, ...(this.options.random ? { random: this.options.random } : {}) }),
      running: false,
      notBeforeMs: 0,
      snapshotTaken: false,
    };
    const early = this.options.clock.monotonic() < ending.notBeforeMs;
    if (ending.running || early || this.underWay.size >= MAX_ENDING) return;
    this.endings.set(name, ending);
    ending.running = true;
    const work = this.end(name, due, ending).finally(() => {
      ending.running = false;
      this.underWay.delete(work);
    });
    this.underWay.add(work);
  }

  /** Never rejects. */
  private async end(name: string, due: Due, ending: Ending): Promise<void> {
    const { log, machines } = this.options;
    try {
      await this.act(name, due, ending, this.stopping.signal);
      this.endings.delete(name);
      await machines.changeLife(name, (life) => ({ ...life, problem: '' }), true);
    } catch (err) {
      if (this.stopping.signal.aborted) return;
      log.warn('a machine could not be ended by itself', { vmId: name, ...due, error: err });
      await this.failed(name, due, ending, err).catch((error: unknown) =>
        log.error('an expiry was not recorded', { vmId: name, error }),
      );
    }
  }

  private async act(name: string, due: Due, ending: Ending, signal: AbortSignal): Promise<void> {
    const { machines, use } = this.options;
    const stillDue = () => this.stillDue(name, due);
    if (!(await stillDue())) return;
    await use.expiring(name, due.cause, `${causeText(due)}: ${ACTION_TEXT[due.action]}`);
    if (due.action === 'destroy') return use.remove(name, signal);
    if (due.action === 'snapshot' && !ending.snapshotTaken) {
      if (!(await machines.endIf(name, 'snapshot', stillDue, signal))) return;
      ending.snapshotTaken = true;
    }
    await machines.endIf(name, 'stop', stillDue, signal);
  }

  /** Something may have begun in it since, or somebody kept it. */
  private async stillDue(name: string, due: Due): Promise<boolean> {
    const { machines, use, clock } = this.options;
    if ((await use.busy([name])).has(name)) return false;
    const vm = machines.list().find((one) => one.name === name);
    return vm !== undefined && dueOf(vm, clock.now())?.cause === due.cause;
  }

  private async failed(name: string, due: Due, ending: Ending, err: unknown): Promise<void> {
    const { machines, use, clock } = this.options;
    const waitMs = Math.round(ending.backoff.next());
    ending.notBeforeMs = clock.monotonic() + waitMs;
    const next = new Date(clock.now() + waitMs).toISOString();
    const problem = `${causeText(due)}, but it could not be ended: ${messageOf(err)}; next try at ${next}`;
    await machines.changeLife(name, (life) => ({ ...life, problem: problem.slice(0, 1024) }), true);
    await use.expiring(name, due.cause, problem.slice(0, 1024));
  }

  private async repeat(): Promise<void> {
    const { signal } = this.stopping;
    const { clock, log } = this.options;
    while (!signal.aborted) {
      await this.sweep().catch((err: unknown) => log.error('looking at machines failed', { error: err }));
      await clock.sleep(SWEEP_MS, signal).catch(() => {});
    }
  }
}

const ACTION_TEXT: Readonly<Record<Due['action'], string>> = {
  stop: 'it is stopped',
  destroy: 'it is destroyed',
  snapshot: 'a snapshot is taken and it is stopped',
};

function causeText({ cause }: Due): string {
  return cause === 'TTL' ? 'its ttl is over' : 'it was idle for longer than its idle stop';
}

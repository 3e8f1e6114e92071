import type { Clock } from '../base/clock.js';
import { runDetached } from '../base/detached.js';
import { KeyedMutex } from '../base/keyed-mutex.js';
import type { Logger } from '../base/logger.js';
import { HubError } from '../model/hub-error.js';
import type { ProfileInfo } from '../model/profile.js';
import type { Image, ProviderInfo, Snapshot, Vm, VmLife, VmStage, VmUsage } from '../model/vm.js';
import { DEFAULT_KEEP_MS, kept } from '../model/vm-life.js';
import type { VmApi } from './api.js';
import { Creator, type NewMachine } from './creator.js';
import { withDeadline } from './deadline.js';
import type { EndHow, ExpiringMachines } from './expiry.js';
import { Lifecycle } from './lifecycle.js';
import { MachineBook } from './machine-book.js';
import {
  DEFAULT_DEADLINES,
  type MachineContext,
  type OperationName,
  type VmDeadlines,
} from './machine-context.js';
import type { MachineEvents } from './machine-events.js';
import type { VmProvider } from './provider.js';
import { ProviderRegistry } from './provider-registry.js';
import { recoverMachine } from './recovery.js';
import { resizeMachine } from './resizer.js';
import type { ResourceRequest } from './resources.js';
import { SnapshotService } from './snapshot-service.js';
import { withStage } from './stage-recorder.js';
import type { VmRecords } from './vm-records.js';

/** Options of {@link VmManager}. */
export interface VmManagerOptions {
  readonly providers: readonly VmProvider[];
  /** Name of the one to take when none is named. Default: the best that works. */
  readonly provider?: string;
  readonly records: VmRecords;
  readonly events: MachineEvents;
  /** Address of the agent door as seen from the host, asked at each start: `unix:/path` or `host:port`. */
  readonly door: () => string;
  readonly clock: Clock;
  readonly log: Logger;
  /** What machines can be furnished with. Default nothing. */
  readonly profiles?: () => Promise<readonly ProfileInfo[]>;
  /** Time limits that differ from the defaults. */
  readonly deadlines?: Partial<VmDeadlines>;
}

/**
 * Runs machines through their providers and keeps the record of each true. Operations on one machine run one
 * after the other, each with a deadline; destroying one ends what is under way on it.
 */
export class VmManager implements VmApi, ExpiringMachines, AsyncDisposable {
  private readonly ctx: MachineContext;
  private readonly lifecycle: Lifecycle;
  private readonly creator: Creator;
  private readonly snapshotService: SnapshotService;
  private readonly mutex = new KeyedMutex();
  private readonly stopping = new AbortController();
  private readonly underWay = new Set<Promise<unknown>>();
  /** Ends the operations on one machine. */
  private readonly interrupts = new Map<string, AbortController>();

  constructor(private readonly options: VmManagerOptions) {
    const { records, events, clock, providers, door, log } = options;
    this.ctx = {
      book: new MachineBook(records, events),
      registry: new ProviderRegistry(providers, clock, options.provider),
      events,
      door,
      clock,
      log: log.with({ component: 'vm' }),
      deadlines: { ...DEFAULT_DEADLINES, ...options.deadlines },
    };
    this.lifecycle = new Lifecycle(this.ctx);
    this.creator = new Creator(this.ctx, this.lifecycle);
    this.snapshotService = new SnapshotService(this.ctx, this.lifecycle);
  }

  /** Loads the records and makes them true: see {@link recoverMachine}. Call once, before anything else. */
  async recover(): Promise<void> {
    await this.ctx.book.load();
    await Promise.all(this.ctx.book.list().map((vm) => this.recoverOne(vm)));
    await Promise.all(this.ctx.registry.all().map((provider) => this.warnOfStrangers(provider)));
  }

  /** Ends what is under way, waits for it and takes no more. Machines go on running. */
  async close(): Promise<void> {
    this.stopping.abort(new HubError('HUB_STOPPING', 'the hub is stopping; try again later'));
    await Promise.allSettled([...this.underWay]);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /**
   * Makes and boots a machine; does not wait for its agent.
   *
   * @throws HubError INVALID_FIELD, AGENT_EXISTS, PROVIDER_NOT_FOUND, PROVIDER_UNAVAILABLE, RESOURCES_EXCEEDED,
   * VM_FAILED.
   */
  create(request: NewMachine, signal: AbortSignal): Promise<Vm> {
    const work = (inner: AbortSignal) => this.creator.create(request, inner);
    return this.operate(request.name, 'create', signal, work);
  }

  /**
   * Waits for the agent of a machine that has booted.
   *
   * @throws HubError VM_FAILED with the last console lines when the machine ends before.
   */
  untilOnline(name: string, signal: AbortSignal): Promise<Vm> {
    return this.lifecycle.untilOnline(name, AbortSignal.any([signal, this.stopping.signal]));
  }

  /** Records a stage that the hub saw. */
  stage(name: string, stage: VmStage): Promise<void> {
    return this.ctx.book.change(name, (vm) => ({ ...vm, stages: withStage(vm.stages, stage) }), stage);
  }

  get(name: string): Vm {
    return this.ctx.book.get(name);
  }

  list(): readonly Vm[] {
    return this.ctx.book.list();
  }

  start(name: string, signal: AbortSignal): Promise<Vm> {
    return this.operate(name, 'start', signal, (inner) => this.lifecycle.start(name, inner));
  }

  stop(name: string, force: boolean, signal: AbortSignal): Promise<Vm> {
    return this.operate(name, 'stop', signal, (inner) => this.lifecycle.stop(name, force, inner));
  }

  restart(name: string, signal: AbortSignal): Promise<Vm> {
    return this.operate(name, 'start', signal, async (inner) => {
      await this.lifecycle.stop(name, false, inner);
      return this.lifecycle.start(name, inner);
    });
  }

  async resize(name: string, request: ResourceRequest, signal: AbortSignal) {
    const work = (inner: AbortSignal) => resizeMachine(this.ctx, name, request, inner);
    const { vm, result } = await this.operate(name, 'resize', signal, work);
    return { vm, restartNeeded: result === 'at_next_start' };
  }

  async keepAlive(name: string, forMs = DEFAULT_KEEP_MS): Promise<Vm> {
    if (this.get(name).life === undefined) {
      const message = `${name} has neither a ttl nor an idle stop, so it ends only when somebody ends it`;
      throw new HubError('ILLEGAL_STATE', message, { metadata: { vm: name } });
    }
    const now = this.ctx.clock.now();
    await this.changeLife(name, (life) => kept(life, now + forMs, now), true);
    return this.get(name);
  }

  inOperation(name: string): boolean {
    return this.interrupts.has(name);
  }

  changeLife(name: string, edit: (life: VmLife) => VmLife, durable: boolean): Promise<void> {
    return this.ctx.book.note(name, (vm) => (vm.life ? { ...vm, life: edit(vm.life) } : vm), durable);
  }

  endIf(name: string, how: EndHow, stillDue: () => Promise<boolean>, signal: AbortSignal): Promise<boolean> {
    return this.operate(name, how, signal, async (inner) => {
      if (!(await stillDue())) return false;
      const snapshot = `expired-${this.ctx.clock.now()}`;
      if (how === 'stop') await this.lifecycle.stop(name, false, inner);
      else await this.snapshotService.take(name, snapshot, 'taken when its ttl was over', inner);
      return true;
    });
  }

  async noteEnded(name: string, signal: AbortSignal): Promise<boolean> {
    const vm = this.get(name);
    if (vm.state !== 'RUNNING' || (await this.lifecycle.inspect(vm, signal)) !== 'stopped') return false;
    return this.operate(name, 'stop', signal, (inner) => this.lifecycle.noteEnded(name, inner));
  }

  async usage(name: string, signal: AbortSignal): Promise<VmUsage | undefined> {
    const vm = this.get(name);
    if (vm.state !== 'RUNNING') return undefined;
    const { clock, deadlines, log } = this.ctx;
    const limit = { what: `usage of ${name}`, deadlineMs: deadlines.usage };
    try {
      return await withDeadline(clock, limit, [signal], async (inner) =>
        this.lifecycle.provider(vm).usage?.(name, inner),
      );
    } catch (err) {
      signal.throwIfAborted();
      log.info('what a machine uses is not known', { vmId: name, error: err });
      return undefined;
    }
  }

  async console(name: string, lines?: number): Promise<string> {
    const text = await this.lifecycle.provider(this.get(name)).consoleTail(name);
    return lines === undefined ? text : lastLines(text, lines);
  }

  /** Destroys a machine with its snapshots and ends what is under way on it; does nothing when there is none. */
  destroy(name: string, signal: AbortSignal): Promise<void> {
    const reason = new HubError('CANCELLED', `the machine ${name} is being destroyed`);
    this.interrupts.get(name)?.abort(reason);
    return this.operate(name, 'destroy', signal, (inner) => this.creator.destroy(name, inner));
  }

  snapshots(name: string): Promise<readonly Snapshot[]> {
    return this.snapshotService.list(name);
  }

  snapshot(name: string, snapshot: string, description: string, signal: AbortSignal): Promise<Snapshot> {
    const work = (inner: AbortSignal) => this.snapshotService.take(name, snapshot, description, inner);
    return this.operate(name, 'snapshot', signal, work);
  }

  deleteSnapshot(name: string, snapshot: string, signal: AbortSignal): Promise<void> {
    const work = (inner: AbortSignal) => this.snapshotService.remove(name, snapshot, inner);
    return this.operate(name, 'snapshot', signal, work);
  }

  restore(name: string, snapshot: string, signal: AbortSignal): Promise<Vm> {
    const work = (inner: AbortSignal) => this.snapshotService.restore(name, snapshot, inner);
    return this.operate(name, 'restore', signal, work);
  }

  providers(): Promise<readonly ProviderInfo[]> {
    return this.ctx.registry.describe(this.stopping.signal);
  }

  /** By name. */
  async images(): Promise<readonly Image[]> {
    const images = await Promise.all(this.ctx.registry.all().map((provider) => provider.images()));
    return images.flat().sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  async profiles(): Promise<readonly ProfileInfo[]> {
    return (await this.options.profiles?.()) ?? [];
  }

  async consoleTail(name: string): Promise<string> {
    const vm = this.ctx.book.find(name);
    return vm === undefined ? '' : this.lifecycle.provider(vm).consoleTail(name);
  }

  /** One operation after the other per machine; ends with its deadline, its caller, the hub or a destroy. */
  private operate<T>(
    name: string,
    operation: OperationName,
    signal: AbortSignal,
    work: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const { clock, deadlines } = this.ctx;
    const limit = { what: `${operation} of ${name}`, deadlineMs: deadlines[operation] };
    const running = this.mutex.run(name, async () => {
      const interrupt = new AbortController();
      if (operation !== 'destroy') this.interrupts.set(name, interrupt);
      const signals = [signal, this.stopping.signal, interrupt.signal];
      return withDeadline(clock, limit, signals, work).finally(() => this.interrupts.delete(name));
    });
    this.underWay.add(running);
    const forget = () => void this.underWay.delete(running);
    running.then(forget, forget);
    return running;
  }

  private async recoverOne(vm: Vm): Promise<void> {
    const parts = { ctx: this.ctx, lifecycle: this.lifecycle, creator: this.creator };
    const signal = this.stopping.signal;
    const left = await this.mutex.run(vm.name, () => recoverMachine(parts, vm, signal));
    if (left === 'done') return;
    const boot = (inner: AbortSignal) =>
      this.lifecycle.orFail(vm.name, 'restore', async () => {
        await this.lifecycle.boot(vm.name, undefined, inner);
        return this.lifecycle.untilOnline(vm.name, inner);
      });
    runDetached(this.ctx.log, `completing the restore of ${vm.name}`, () =>
      this.operate(vm.name, 'restore', signal, boot),
    );
  }

  /** A machine without a record is not destroyed: it may hold somebody's work. */
  private async warnOfStrangers(provider: VmProvider): Promise<void> {
    const names = await provider.list(this.stopping.signal).catch(() => []);
    const strangers = names.filter((name) => this.ctx.book.find(name) === undefined);
    if (strangers.length > 0) {
      this.ctx.log.warn('machines without a record', { provider: provider.name, vms: strangers });
    }
  }
}

function lastLines(text: string, count: number): string {
  const lines = text.split('\n');
  const end = lines.at(-1) === '' ? lines.length - 1 : lines.length;
  return lines.slice(Math.max(0, end - count)).join('\n');
}
